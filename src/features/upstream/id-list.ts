import { ProviderRejectedError, ProviderUrlTooLongError } from './provider-errors.ts';

/**
 * The ids for a URL, encoded and separated by commas. Refuses lists that would request something else: for some providers, no
 * ids at all means "all assets".
 * @throws {ProviderRejectedError | ProviderUrlTooLongError} for a list that cannot be sent.
 */
export function encodedIds(
  ids: readonly string[],
  limits: {
    readonly maxIdsPerCall: number;
    /** Longest encoded list, including separators. */
    readonly maxIdListBytes: number;
    readonly provider: string;
  },
): string {
  const { maxIdsPerCall, maxIdListBytes, provider } = limits;
  if (ids.length === 0 || ids.length > maxIdsPerCall) {
    throw new ProviderRejectedError(`A call takes 1 to ${maxIdsPerCall} ids, not ${ids.length}`, {
      provider,
    });
  }
  const list = ids.map((id) => encodeURIComponent(wellFormed(id))).join(',');
  if (list.length > maxIdListBytes) {
    throw new ProviderUrlTooLongError(
      `The list of ids takes ${list.length} bytes; one call fits ${maxIdListBytes}`,
      { provider },
    );
  }
  return list;
}

/** Half a surrogate pair cannot be encoded; no asset id has one, so any replacement will do. */
function wellFormed(text: string): string {
  return Buffer.from(text, 'utf8').toString('utf8');
}
