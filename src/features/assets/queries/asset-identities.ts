import type { Knex } from 'knex';

/** Who an asset is. */
export interface AssetIdentityRow {
  readonly assetId: string;
  readonly symbol: string;
  readonly name: string;
}

/** Looks assets up by their ids; those that are not in the list are left out. */
export async function findIdentities(knex: Knex, ids: readonly string[]): Promise<AssetIdentityRow[]> {
  if (ids.length === 0) return [];
  const { rows } = await knex.raw<{ rows: AssetIdentityRow[] }>(
    'select asset_id as "assetId", symbol, name from assets where asset_id = any(?)',
    [[...ids]],
  );
  return rows;
}
