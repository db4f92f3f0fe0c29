/**
 * What can be an asset id: 1 to 100 characters, including blanks and brackets, as price sources list them. No comma, which
 * separates ids in lists, no control characters, no blank at either end, and nothing that makes another path in a URL: no
 * slash, no leading `.`. A leading `#` marks a page of the ranking.
 */
export const assetIdForm = /^(?![.#\s])[^\p{Cc}\p{Cs},/\\]{1,100}(?<!\s)$/u;

/** The same in Postgres. */
export const assetIdFormSql =
  "asset_id ~ '^[^,/.#[:cntrl:]][^,/[:cntrl:]]{0,99}$' and asset_id = btrim(asset_id)";
