/** Servers that answer the same kind of request in interleaved rounds, and what each of them needed. */
import type { Row } from './bench.ts';
import { median, ms } from './figures.ts';
import { load, type LoadResult } from './load.ts';
import { cpuMicros } from './procs.ts';

/** A server with what was measured of it so far. */
export interface Contender {
  readonly name: string;
  readonly pid: number;
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly results: (LoadResult & { readonly cpuMicrosEach: number })[];
}

/** What is compared. */
type Statistic = 'requestsPerSecond' | 'cpuMicrosEach' | 'p99Ms';

/** Connections of the clients. */
export const connections = 50;
/** Core of the servers. */
export const serverCore = 0;
/** Core of the clients. */
const loadCore = 1;

/**
 * Measures one round; a warm-up is not kept.
 * @throws {Error} a request failed.
 */
export async function measure(
  { pid, url, headers, results }: Contender,
  seconds: number,
  isWarmUp = false,
): Promise<void> {
  const before = cpuMicros(pid);
  const result = await load({ url, headers, seconds, connections, core: loadCore });
  if (result.failures > 0) throw new Error(`${result.failures} requests to ${url} failed`);
  if (!isWarmUp) results.push({ ...result, cpuMicrosEach: (cpuMicros(pid) - before) / result.requests });
}

/** Median of the ratios of each round. */
export function ratioOf(one: Contender, other: Contender, statistic: Statistic): number {
  return median(
    one.results.map((result, round) => result[statistic] / (other.results[round]?.[statistic] ?? NaN)),
  );
}

/** Median of a figure. */
export function middleOf({ results }: Contender, statistic: Statistic): number {
  return median(results.map((result) => result[statistic]));
}

/** Row of a contender's own figures. */
export function contenderRow(contender: Contender): Row {
  const [perSecond, cpu, p99] = [
    middleOf(contender, 'requestsPerSecond').toFixed(0),
    middleOf(contender, 'cpuMicrosEach').toFixed(1),
    ms(middleOf(contender, 'p99Ms')),
  ];
  return {
    what: `${contender.name}: requests/s, CPU a request, p99`,
    result: `${perSecond}, ${cpu} µs, ${p99}`,
  };
}
