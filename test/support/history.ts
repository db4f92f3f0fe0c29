import type { Knex } from 'knex';
import { openDatabase } from '../../db/connection.ts';
import { createCandlePartitions } from '../../src/features/history/queries/candle-partitions.ts';
import { createCandleRolls } from '../../src/features/history/queries/candle-rolls.ts';
import { createCandleQueries } from '../../src/features/history/queries/candles.ts';
import { createBackfillRequests } from '../../src/features/history/queries/history-requests.ts';
import { createTestDatabase } from './database.ts';

/** Everything that stands on the candles of a database of one's own. */
export interface HistoryStore {
  readonly databaseUrl: string;
  readonly knex: Knex;
  readonly candles: ReturnType<typeof createCandleQueries>;
  readonly partitions: ReturnType<typeof createCandlePartitions>;
  readonly rolls: ReturnType<typeof createCandleRolls>;
  readonly asks: ReturnType<typeof createBackfillRequests>;
  /** Names of the partitions of a granularity, the default one left out. */
  tables(granularity: string): Promise<readonly string[]>;
  /** Forgets all candles and asks. */
  empty(): Promise<void>;
  close(): Promise<void>;
}

/** Opens a fresh database with the schema of the product. */
export async function openHistoryStore(): Promise<HistoryStore> {
  const database = await createTestDatabase();
  const knex = openDatabase({ database: { connectionString: database.url, ssl: false }, poolSize: 6 });
  return {
    databaseUrl: database.url,
    knex,
    candles: createCandleQueries(knex),
    partitions: createCandlePartitions(knex),
    rolls: createCandleRolls(knex),
    asks: createBackfillRequests(knex),
    async tables(granularity) {
      const { rows } = await knex.raw<{ rows: { name: string }[] }>(
        `select relname as name from pg_class where relkind = 'r' and relname ~ ? order by 1`,
        [`^candles_${granularity}_\\d`],
      );
      return rows.map(({ name }) => name);
    },
    async empty() {
      await knex.raw('truncate candles, history_asks, candle_rolls');
    },
    async close() {
      await knex.destroy();
      await database.drop();
    },
  };
}
