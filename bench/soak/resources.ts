/** What the deployment takes up, sampled over the run: the second half is compared with the first. */
import { readdir, readFile } from 'node:fs/promises';
import type { Row } from '../support/bench.ts';
import { pause, type Part, type Soak } from './clients.ts';

const everyMs = 5_000;

interface Sample {
  readonly at: number;
  /** By what it is of. */
  readonly values: Readonly<Record<string, number>>;
}

/** What may be more in the second half than in the first: by a share, and by an amount. */
interface Room {
  readonly share: number;
  readonly amount: number;
  readonly unit: string;
}

const rooms: Readonly<Record<string, Room>> = {
  memory: { share: 0.25, amount: 30, unit: ' MB' },
  handles: { share: 0.25, amount: 20, unit: '' },
  'connections to Redis': { share: 0.25, amount: 10, unit: '' },
  'connections to Postgres': { share: 0.25, amount: 10, unit: '' },
  'Redis keys': { share: 0.25, amount: 500, unit: '' },
};
/** Rows come with accepted work: they may grow as much again in the second half. */
const rowRoom: Room = { share: 0.5, amount: 2_000, unit: '' };

export function resourcesWatch(soak: Soak): Part {
  const { fleet } = soak;
  const samples: Sample[] = [];
  const rowCounts: { readonly at: number; readonly rows: number }[] = [];
  let startedAt = 0;

  async function sample(): Promise<void> {
    const values: Record<string, number> = {};
    for (const { name, process: running, isDown } of fleet.slots) {
      const [memoryMb, handles] = await usageOf(running.pid);
      // A process that has just started says nothing of one that has run for long.
      if (isDown || memoryMb === undefined || handles === undefined) continue;
      values[`memory of ${name}`] = memoryMb;
      values[`handles of ${name}`] = handles;
    }
    values['connections to Redis'] = fleet.proxies.redis.live();
    values['connections to Postgres'] = fleet.proxies.postgres.live();
    const keys = await within(fleet.backstage.redis.dbsize());
    if (keys !== undefined) values['Redis keys'] = keys;
    samples.push({ at: Date.now(), values });
    const rows = await within(countRows());
    if (rows !== undefined) rowCounts.push({ at: Date.now(), rows });
  }

  async function countRows(): Promise<number> {
    const { backstage } = fleet;
    const tables = await backstage.query<{ name: string }>(
      `select quote_ident(relname) as name from pg_class join pg_namespace n on n.oid = relnamespace
       where n.nspname = 'public' and relkind = 'r'`,
    );
    const counts = tables.map(({ name }) => `select count(*) as n from ${name}`).join(' union all ');
    const [{ n } = { n: 0 }] = await backstage.query<{ n: string | number }>(
      `select sum(n) as n from (${counts}) as counted`,
    );
    return Number(n);
  }

  return {
    async run() {
      startedAt = Date.now();
      while (!soak.end.aborted) {
        await sample();
        await pause(soak, everyMs);
      }
    },
    rows() {
      const middle = startedAt + (Date.now() - startedAt) / 2;
      const last = samples.at(-1)?.at ?? 0;
      const half = (startedAt + Math.min(middle, last) + (last - startedAt) / 2) / 2;
      const names = [...new Set(samples.flatMap(({ values }) => Object.keys(values)))].sort();
      const highest = (name: string, isFirst: boolean): number =>
        Math.max(...samples.filter(({ at }) => at < half === isFirst).map(({ values }) => values[name] ?? 0));
      const rows = names.map((name) => {
        const room = rooms[name.replace(/ of .*/, '')] ?? rowRoom;
        return comparison(`${name}, highest in each half`, highest(name, true), highest(name, false), room);
      });
      const growth = (isFirst: boolean): number => {
        const part = rowCounts.filter(({ at }) => at < half === isFirst).map(({ rows: n }) => n);
        return (part.at(-1) ?? 0) - (part[0] ?? 0);
      };
      return Promise.resolve([
        ...rows,
        comparison('rows of all tables, growth in each half', growth(true), growth(false), rowRoom),
      ]);
    },
  };
}

function comparison(what: string, first: number, second: number, { share, amount, unit }: Room): Row {
  const most = first * (1 + share) + amount;
  return {
    what,
    result: `${first.toFixed(0)}, ${second.toFixed(0)}${unit}`,
    requested: `≤ ${most.toFixed(0)} (+${share * 100} % and ${amount})`,
    kept: second <= most,
  };
}

async function usageOf(pid: number): Promise<readonly [number | undefined, number | undefined]> {
  try {
    const status = await readFile(`/proc/${pid}/status`, 'utf8');
    const handles = await readdir(`/proc/${pid}/fd`);
    return [Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1]) / 1_024, handles.length];
  } catch {
    return [undefined, undefined];
  }
}

/** The answer of a store, which may be away; undefined when it has none within two seconds. */
async function within<T>(answer: Promise<T>): Promise<T | undefined> {
  return await Promise.race([
    answer.catch(() => undefined),
    new Promise<undefined>((resolve) => setTimeout(resolve, 2_000, undefined)),
  ]);
}
