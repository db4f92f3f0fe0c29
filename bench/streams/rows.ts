/** Rows of the stream benches. */
import type { Row } from '../support/bench.ts';
import { median, ms, times } from '../support/figures.ts';
import { lastClient, type Measured } from './measure.ts';

/** What a ratio is to be. */
export interface BudgetedLimiter {
  readonly what: string;
  readonly ratio: number;
  readonly gate: number;
  readonly stretch: number;
}

/** A ratio beside what is asked; it breaks the bench only where gates are judged. */
export function gateRow({ what, ratio, gate, stretch }: BudgetedLimiter, isJudged: boolean): Row {
  const reached = ratio <= stretch ? 'stretch' : ratio <= gate ? 'gate' : 'missed';
  return {
    what,
    result: Number.isNaN(ratio) ? 'not measured' : `${times(ratio)} (${reached})`,
    requested: `<= ${gate.toFixed(2)} x, better ${stretch.toFixed(2)} x`,
    ...(isJudged && !Number.isNaN(ratio) ? { kept: ratio <= gate } : {}),
  };
}

/** Median over the rounds of a figure of one side divided by that of the other side in the same round. */
export function ratioOf(
  key: 'cpuMicrosEach' | 'idleBytes' | 'p99Ms',
  ours: readonly Measured[],
  others: readonly Measured[],
): number {
  return median(
    ours.flatMap((measured, round) => {
      const other = others[round];
      return other === undefined ? [] : [measured[key] / other[key]];
    }),
  );
}

const kib = (bytes: number): string => `${(bytes / 1024).toFixed(1)} KiB`;

/** The figures of one server, and whether it has lost more than it may (a share, or `any` where that is not judged). */
export function measuredRow(name: string, runs: readonly Measured[], mayLose: number | 'any' = 0): Row {
  const middle = (key: 'cpuMicrosEach' | 'idleBytes' | 'usedBytes' | 'p99Ms' | 'cores'): number =>
    median(runs.map((run) => run[key]));
  const { p50, p99 } = lastClient(runs);
  const share = Math.min(...runs.map(({ delivered, requested }) => delivered / requested));
  const figures = [
    `${middle('cpuMicrosEach').toFixed(2)} µs`,
    `${kib(middle('idleBytes'))} idle, ${kib(middle('usedBytes'))} used`,
    `last client p50 ${ms(p50)}, p99 ${ms(p99)}`,
    `event p99 ${ms(middle('p99Ms'))}`,
    `${middle('cores').toFixed(2)} cores`,
    `${(share * 100).toFixed(share === 1 ? 0 : 3)} % delivered`,
  ];
  const judged =
    mayLose === 'any'
      ? {}
      : {
          requested: `${mayLose === 0 ? '' : '>= '}${(100 - mayLose * 100).toFixed(mayLose === 0 ? 0 : 1)} % delivered`,
          kept: share >= 1 - mayLose && share <= 1,
        };
  return { what: name, result: figures.join('; '), ...judged };
}
