/** Ranges of days; all end with the last day. */
export const performanceRanges = ['1d', '7d', '30d', '90d', 'ytd', '1y', 'max'] as const;
export type PerformanceRange = (typeof performanceRanges)[number];

const lengths = { '1d': 1, '7d': 7, '30d': 30, '90d': 90, '1y': 365 } as const;
const dayMs = 86_400_000;

/** Number of the first day whose return belongs to a range; `-Infinity` for `max`. */
export function firstDayOf(range: PerformanceRange, lastDay: number): number {
  if (range === 'max') return -Infinity;
  if (range === 'ytd') return Date.UTC(new Date(lastDay * dayMs).getUTCFullYear(), 0, 1) / dayMs;
  return lastDay - lengths[range] + 1;
}
