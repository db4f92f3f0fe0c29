/**
 * Partitions of candles, created before they are needed: maintenance creates those of the future, and a writer of old points
 * those of the past. A candle that arrives before its partition is stored in the default one, and moves when the partition is
 * created. Data past its retention is dropped with its partition; single rows are deleted only from default partitions.
 */
import type { Knex } from 'knex';
import type { Granularity } from '../../../domain/history.ts';
import { orUnavailable } from '../../../../db/outage.ts';

interface Bounds {
  readonly name: string;
  readonly from: Date;
  readonly to: Date;
}

const maxPartitions = 400;
/**
 * How long (ms) to wait for the lock on the table: readers hold it only for a moment, but everybody else queues behind
 * a writer that waits for it.
 */
const lockWaitMs = 2_000;
/** Key of the lock held while partitions are created or dropped. */
const lockKey = 5_001_122;
/** Rows of one statement, so that none comes near its deadline. */
const maxRows = 20_000;
const dayMs = 86_400_000;
/** 1970 began on a Thursday; weeks begin on Monday. */
const firstMonday = 4 * dayMs;

/**
 * Creates and drops partitions. Remembers which exist, so that repeated calls cost nothing. Its methods throw {@link
 * UnavailableError} when Postgres does not answer.
 */
export function createCandlePartitions(knex: Knex) {
  const known = new Set<string>();

  async function dropBefore(granularity: Granularity, before: number) {
    let dropped = 0;
    for (const name of await tablesOf(knex, granularity)) {
      if (endOf(granularity, name) > before) continue;
      known.delete(name);
      await locked(knex, (trx) => trx.raw('drop table if exists ??', [name]));
      dropped++;
    }
    const { rowCount: deleted } = await knex.raw<{ rowCount: number }>(
      `delete from ?? where ctid = any(array(
        select ctid from ?? where open_time < to_timestamp(? / 1000.0) limit ?))`,
      [defaultOf(granularity), defaultOf(granularity), before, maxRows],
    );
    return { dropped, deleted };
  }

  return {
    /**
     * Creates the partitions that a span (ms since the epoch, both ends included) needs, at most 400. Returns how many
     * were missing.
     * @throws {RangeError} for a longer span.
     */
    async ensure({
      granularity,
      from,
      to,
    }: {
      readonly granularity: Granularity;
      readonly from: number;
      readonly to: number;
    }): Promise<number> {
      const wanted = partitionsOf(granularity, from, to).filter(({ name }) => !known.has(name));
      if (wanted.length === 0) return 0;
      const existing = await orUnavailable(tablesOf(knex, granularity));
      let made = 0;
      for (const bounds of wanted) {
        if (!existing.has(bounds.name)) made += await orUnavailable(make(knex, granularity, bounds));
        known.add(bounds.name);
      }
      return made;
    },

    /**
     * Drops partitions whose rows are all past their retention (s) at `now`, and such rows of default partitions. What
     * has no retention is kept.
     */
    async purge(retention: Partial<Readonly<Record<Granularity, number>>>, now: number) {
      const sum = { dropped: 0, deleted: 0 };
      for (const [granularity, seconds] of Object.entries(retention) as [Granularity, number][]) {
        const { dropped, deleted } = await orUnavailable(dropBefore(granularity, now - seconds * 1000));
        sum.dropped += dropped;
        sum.deleted += deleted;
      }
      return sum;
    },
  };
}

const tableOf = (granularity: Granularity): string => `candles_${granularity}`;
const defaultOf = (granularity: Granularity): string => `candles_${granularity}_default`;

/**
 * Days of five minutes, weeks of hours, years of days: none is so large that its retention is coarse.
 * @throws {RangeError} for a span of more than 400 partitions.
 */
function partitionsOf(granularity: Granularity, from: number, to: number): readonly Bounds[] {
  const found: Bounds[] = [];
  for (let begin = startOf(granularity, from); begin <= to; begin = nextOf(granularity, begin)) {
    if (found.length === maxPartitions) throw new RangeError('the range has too many partitions');
    found.push({
      name: nameOf(granularity, begin),
      from: new Date(begin),
      to: new Date(nextOf(granularity, begin)),
    });
  }
  return found;
}

function startOf(granularity: Granularity, at: number): number {
  if (granularity === '5m') return Math.floor(at / dayMs) * dayMs;
  if (granularity === '1h') return Math.floor((at - firstMonday) / (7 * dayMs)) * 7 * dayMs + firstMonday;
  return Date.UTC(new Date(at).getUTCFullYear(), 0);
}

function nextOf(granularity: Granularity, begin: number): number {
  if (granularity === '5m') return begin + dayMs;
  return granularity === '1h' ? begin + 7 * dayMs : Date.UTC(new Date(begin).getUTCFullYear() + 1, 0);
}

function nameOf(granularity: Granularity, begin: number): string {
  const day = new Date(begin).toISOString().slice(0, 10).replaceAll('-', '');
  return `${tableOf(granularity)}_${day}`;
}

/** The end of a partition, by its name (ms since the epoch). */
function endOf(granularity: Granularity, name: string): number {
  const day = /_(\d{4})(\d{2})(\d{2})$/.exec(name);
  return day === null ? Infinity : nextOf(granularity, Date.parse(`${day[1]}-${day[2]}-${day[3]}`));
}

/** Partitions of a granularity that exist, the default one left out. */
async function tablesOf(knex: Knex, granularity: Granularity): Promise<ReadonlySet<string>> {
  const { rows } = await knex.raw<{ rows: { name: string }[] }>(
    `select child.relname as name from pg_inherits join pg_class child on child.oid = inhrelid
      where inhparent = ?::regclass and child.relname <> ?`,
    [tableOf(granularity), defaultOf(granularity)],
  );
  return new Set(rows.map(({ name }) => name));
}

/** Takes out of the default partition what belongs into the new one. Returns 0 when another process was faster. */
async function make(knex: Knex, granularity: Granularity, { name, from, to }: Bounds): Promise<number> {
  return await locked(knex, async (trx) => {
    if ((await tablesOf(trx, granularity)).has(name)) return 0;
    const [parent, rest] = [tableOf(granularity), defaultOf(granularity)];
    // Nobody may add to the default partition what would contradict the new one.
    await trx.raw('lock table ?? in access exclusive mode', [rest]);
    await trx.raw('create table ?? (like ?? including all)', [name, parent]);
    await trx.raw(
      `with moved as (delete from ?? where open_time >= ? and open_time < ? returning *)
        insert into ?? select * from moved`,
      [rest, from, to, name],
    );
    await trx.raw(
      `alter table ?? attach partition ?? for values from ('${from.toISOString()}') to ('${to.toISOString()}')`,
      [parent, name],
    );
    return 1;
  });
}

async function locked<T>(knex: Knex, work: (trx: Knex.Transaction) => PromiseLike<T>): Promise<T> {
  return await knex.transaction(async (trx) => {
    await trx.raw(`set local lock_timeout = ${lockWaitMs}`);
    await trx.raw('select pg_advisory_xact_lock(?)', [lockKey]);
    return await work(trx);
  });
}
