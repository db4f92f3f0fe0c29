import type { Knex } from 'knex';
import { findIdentities, type AssetIdentityRow } from './asset-identities.ts';
import { orUnavailable } from '../../../../db/outage.ts';

/** What a symbol stands for: the largest active asset that has it. */
export interface SymbolMatch {
  /** In lower case. */
  readonly symbol: string;
  readonly id: string;
  readonly name: string;
  /** Further assets with this symbol. */
  readonly others: number;
}

/** Lookups in the list of assets for those who hold no copy of it. */
export interface SymbolLookup {
  /** What symbols (in lower case) stand for; those that nothing has are left out. @throws {UnavailableError} no database. */
  find(symbols: readonly string[]): Promise<readonly SymbolMatch[]>;
  /** Who assets are; those that are not in the list are left out. @throws {UnavailableError} no database. */
  identities(ids: readonly string[]): Promise<readonly AssetIdentityRow[]>;
  /** Whether there is a list at all. @throws {UnavailableError} no database. */
  isKnown(): Promise<boolean>;
}

/** Builds the {@link SymbolLookup} over one pool. */
export function createSymbolLookup(knex: Knex): SymbolLookup {
  return {
    async find(symbols) {
      const { rows } = await orUnavailable(knex.raw<{ rows: SymbolMatch[] }>(findSql, [symbols] as never));
      return rows;
    },
    identities: (ids) => orUnavailable(findIdentities(knex, ids)),
    async isKnown() {
      const { rows } = await orUnavailable(
        knex.raw<{ rows: [{ known: boolean }] }>('select exists (select 1 from assets) as known'),
      );
      return rows[0].known;
    },
  };
}

/** Ids with capitals or blanks are listed now and then; nothing can be asked of them. */
const findSql = `select distinct on (lower(symbol)) lower(symbol) as symbol, asset_id as id, name,
    count(*) over (partition by lower(symbol)) - 1 as others
  from assets
  where active and lower(symbol) = any(?::text[]) and asset_id ~ '^[a-z0-9][a-z0-9._-]{0,99}$'
  order by lower(symbol), rank nulls last, asset_id`;
