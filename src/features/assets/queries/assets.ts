/** The list of assets in Postgres. */
import { assetIdFormSql } from '../../../domain/asset-id.ts';
import type { Knex } from 'knex';
import { judgeList, type Asset } from '../../../domain/asset.ts';
import { orUnavailable } from '../../../../db/outage.ts';

/** A row of a list that was fetched. */
export interface ListedAsset {
  readonly assetId: string;
  readonly symbol: string;
  readonly name: string;
  readonly platforms?: Readonly<Record<string, string | null>> | undefined;
}

/** What a ranking contains of an asset. */
export interface RankedAsset {
  readonly assetId: string;
  readonly rank: number;
  /** Null if the ranking has no image; a known one stays. */
  readonly image: string | null;
}

/** Rows of one statement. */
const batchSize = 1_000;
/** A list that was rejected as implausible is fetched again after this time (s). */
const confirmSeconds = 600;
const daySeconds = 86_400;

export type AssetQueries = ReturnType<typeof createAssetQueries>;

/** Binds the statements to a connection pool. */
export function createAssetQueries(knex: Knex) {
  return {
    /** Increases with every change; 0 before the first list. */
    async version(): Promise<number> {
      const row = await knex('asset_list').first<{ version: number } | undefined>('version');
      return row?.version ?? 0;
    },

    /**
     * At most `limit` assets whose ids come after `after`, in the order of ids, with their places in the provider's
     * list.
     */
    async page(
      after: string,
      limit: number,
    ): Promise<readonly { readonly asset: Asset; readonly position: number }[]> {
      const { rows } = await knex.raw<{ rows: (Asset & { readonly position: number })[] }>(pageSql, [
        after,
        limit,
      ]);
      return rows.map(({ position, ...asset }) => ({ asset, position }));
    },

    /**
     * What is due to be fetched: the list, or a page of the ranking (from 1; 0 for none); the page that is fetched
     * next, whether due or already requested; and whether nothing is known yet. An attempt is recorded before its call,
     * so that one that fails in any way is not repeated at once.
     */
    async due() {
      const { rows } = await knex.raw<{
        rows: [{ list: boolean; rankPage: number; awaitedRankPage: number; isEmpty: boolean }?];
      }>(dueSql);
      return rows[0] ?? { list: false, rankPage: 0, awaitedRankPage: 0, isEmpty: true };
    },

    /**
     * Records an attempt to fetch the list: the next one follows after 1 minute, doubled with each failure, 6 hours at
     * most.
     */
    async beginList(): Promise<void> {
      await knex.raw(
        `update asset_list set failures = failures + 1, next_at = clock_timestamp() + ${backoffSql('failures')}`,
      );
    },

    /** An attempt to fetch a page of the ranking starts. */
    async beginRanks(): Promise<void> {
      await knex.raw(
        `update asset_list set rank_failures = rank_failures + 1,
          next_rank_at = clock_timestamp() + ${backoffSql('rank_failures')}`,
      );
    },

    /**
     * Takes a list that has arrived, unless it is not to be believed. Assets that are not on it become inactive; `vanished` is
     * the number of those that were active before.
     * @param rankPages pages of the ranking that are to be fetched after it.
     */
    storeList: (arrived: readonly ListedAsset[], rankPages: number) =>
      knex.transaction((trx) => storeList(trx, arrived, rankPages)),

    /**
     * Stores what a page of the ranking said. An asset that held one of its ranks before, and is not on it, has none any more.
     * @param next the page that is to be fetched next, 0 for none; absent when the page came along by itself.
     */
    storeRanks: (ranked: readonly RankedAsset[], next?: number): Promise<void> =>
      knex.transaction((trx) => storeRanks(trx, ranked, next)),

    /**
     * What symbols (in lower case) stand for: the largest active asset of each, and how many others have it; symbols that no
     * asset has are left out.
     * @throws {UnavailableError} no database.
     */
    async find(symbols: readonly string[]) {
      const { rows } = await orUnavailable(
        knex.raw<{
          rows: {
            /** In lower case. */
            readonly symbol: string;
            readonly id: string;
            readonly name: string;
            /** Further assets with this symbol. */
            readonly others: number;
          }[];
        }>(findSql, [symbols] as never),
      );
      return rows;
    },

    /** Symbols and names of assets; ids that are not in the list are left out. @throws {UnavailableError} no database. */
    async identities(
      ids: readonly string[],
    ): Promise<readonly Pick<ListedAsset, 'assetId' | 'symbol' | 'name'>[]> {
      if (ids.length === 0) return [];
      const { rows } = await orUnavailable(
        knex.raw<{ rows: { assetId: string; symbol: string; name: string }[] }>(
          'select asset_id as "assetId", symbol, name from assets where asset_id = any(?)',
          [[...ids]],
        ),
      );
      return rows;
    },

    /** Whether there is a list at all. @throws {UnavailableError} no database. */
    async isKnown(): Promise<boolean> {
      const { rows } = await orUnavailable(
        knex.raw<{ rows: [{ known: boolean }] }>('select exists (select 1 from assets) as known'),
      );
      return rows[0].known;
    },
  };
}

const pageSql = `select asset_id as id, symbol, name, rank, image, active, platforms::text as "platformsJson", position
  from assets where asset_id > ? order by asset_id limit ?`;

/** Nothing can be asked of other ids. */
const findSql = `select distinct on (lower(symbol)) lower(symbol) as symbol, asset_id as id, name,
    count(*) over (partition by lower(symbol)) - 1 as others
  from assets
  where active and lower(symbol) = any(?::text[]) and ${assetIdFormSql}
  order by lower(symbol), rank nulls last, asset_id`;

const dueSql = `select next_at <= clock_timestamp() as list,
    case when next_rank_at <= clock_timestamp() then next_rank_page else 0 end as "rankPage",
    next_rank_page as "awaitedRankPage", listed_at is null as "isEmpty"
  from asset_list`;

function backoffSql(failures: 'failures' | 'rank_failures'): string {
  return `least(21600, 60 * power(2, least(${failures}, 10))) * interval '1 second'`;
}

async function storeList(trx: Knex.Transaction, arrived: readonly ListedAsset[], rankPages: number) {
  // The lock also keeps two jobs from updating the same rows in different orders.
  const state = await trx('asset_list')
    .forUpdate()
    .first<{ suspect_count: number | null } | undefined>('suspect_count');
  const { rows } = await trx.raw<{ rows: [{ n: number }] }>('select count(*) as n from assets where active');
  const held = rows[0].n;
  const assets = distinct(arrived);
  const verdict = judgeList({ held, arrived: assets.length, suspect: state?.suspect_count ?? null });
  if (verdict !== 'take') {
    if (verdict === 'confirm') {
      await trx.raw(
        `update asset_list set suspect_count = ?, next_at = clock_timestamp() + ? * interval '1 second'`,
        [assets.length, confirmSeconds],
      );
    }
    return { verdict, assets: held, vanished: 0 };
  }
  for (let start = 0; start < assets.length; start += batchSize) {
    await trx.raw(upsertSql, [JSON.stringify(assets.slice(start, start + batchSize))]);
  }
  const { rows: gone } = await trx.raw<{ rows: [{ n: number }] }>(deactivateSql);
  await trx.raw(listedSql, [daySeconds, rankPages > 0 ? 1 : 0]);
  return { verdict, assets: assets.length, vanished: gone[0].n };
}

/** In a transaction `now()` stands still: what is on the list has it as `last_seen`, all else is older. */
const upsertSql = `insert into assets (asset_id, symbol, name, platforms, position)
  select * from jsonb_to_recordset(?::jsonb)
    as listed("assetId" text, symbol text, name text, platforms jsonb, position int)
  on conflict (asset_id) do update set symbol = excluded.symbol, name = excluded.name,
    platforms = excluded.platforms, position = excluded.position, active = true, last_seen = now()`;

const deactivateSql = `with gone as (
    update assets set active = false, rank = null where active and last_seen < now() returning 1)
  select count(*) as n from gone`;

const listedSql = `update asset_list set version = version + 1, listed_at = now(), failures = 0,
  next_at = clock_timestamp() + ? * interval '1 second', suspect_count = null,
  next_rank_page = ?, next_rank_at = now(), rank_failures = 0`;

/** Rows as they are stored: each id once, the first counts; without characters that Postgres cannot hold. */
function distinct(arrived: readonly ListedAsset[]): (ListedAsset & { readonly position: number })[] {
  const rows = new Map<string, ListedAsset & { readonly position: number }>();
  for (const [position, { assetId, symbol, name, platforms = {} }] of arrived.entries()) {
    const id = storable(assetId);
    if (id === '' || rows.has(id)) continue;
    const addresses = Object.entries(platforms).map(([platform, address]) => [
      storable(platform),
      address === null ? null : storable(address),
    ]);
    rows.set(id, {
      assetId: id,
      symbol: storable(symbol),
      name: storable(name),
      platforms: Object.fromEntries(addresses) as Readonly<Record<string, string | null>>,
      position,
    });
  }
  return [...rows.values()];
}

/** Postgres holds neither NUL nor half a surrogate pair. */
function storable(text: string): string {
  return Buffer.from(text, 'utf8').toString('utf8').replaceAll('\0', '');
}

async function storeRanks(
  trx: Knex.Transaction,
  ranked: readonly RankedAsset[],
  next: number | undefined,
): Promise<void> {
  await trx('asset_list').forUpdate().first();
  const changed = ranked.length === 0 ? 0 : await writeRanks(trx, ranked, next === 0);
  const bump = changed > 0 ? 1 : 0;
  if (next === undefined) await trx.raw('update asset_list set version = version + ?', [bump]);
  else
    await trx.raw(
      `update asset_list set version = version + ?, next_rank_page = ?, next_rank_at = now(), rank_failures = 0`,
      [bump, next],
    );
}

/** Number of assets that were changed. An asset behind the last page has no rank any more. */
async function writeRanks(
  trx: Knex.Transaction,
  ranked: readonly RankedAsset[],
  isLast: boolean,
): Promise<number> {
  const ranks = ranked.map(({ rank }) => rank);
  const [low, high] = [Math.min(...ranks), Math.max(...ranks)];
  const rows = ranked.map((each) => ({ ...each, assetId: storable(each.assetId) }));
  const { rows: lost } = await trx.raw<{ rows: [{ n: number }] }>(unrankSql, [
    low,
    isLast ? 2_147_483_647 : high,
    JSON.stringify(rows.map(({ assetId }) => assetId)),
  ]);
  const { rows: moved } = await trx.raw<{ rows: [{ n: number }] }>(rankSql, [JSON.stringify(rows)]);
  return lost[0].n + moved[0].n;
}

const unrankSql = `with lost as (
    update assets set rank = null where rank between ? and ?
      and asset_id not in (select jsonb_array_elements_text(?::jsonb)) returning 1)
  select count(*) as n from lost`;

const rankSql = `with moved as (
    update assets set rank = told.rank, image = coalesce(told.image, assets.image)
      from jsonb_to_recordset(?::jsonb) as told("assetId" text, rank int, image text)
      where assets.asset_id = told."assetId"
        and (assets.rank, assets.image) is distinct from (told.rank, coalesce(told.image, assets.image))
      returning 1)
  select count(*) as n from moved`;
