import type { Knex } from 'knex';

/**
 * Alerts and webhooks have scopes of their own. Keys that could use them by `portfolio:read` and `portfolio:write` still can.
 */
export async function up(knex: Knex): Promise<void> {
  await knex.raw(`update api_keys set scopes = scopes
    || case when 'portfolio:read' = any (scopes) then array['alerts:read', 'webhooks:read'] else '{}' end
    || case when 'portfolio:write' = any (scopes) then array['alerts:write', 'webhooks:write'] else '{}' end
    where scopes && array['portfolio:read', 'portfolio:write']`);
}

/** Takes them away again. */
export async function down(knex: Knex): Promise<void> {
  await knex.raw(`update api_keys set scopes =
    array(select scope from unnest(scopes) as scope where scope not like 'alerts:%' and scope not like 'webhooks:%')`);
}
