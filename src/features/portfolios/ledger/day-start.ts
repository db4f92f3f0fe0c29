import type { DayOf } from './days.ts';

const dayMs = 86_400_000;
const quarterHourMs = 900_000;
/** No zone is farther from UTC, and no day longer, than a day and some hours. */
const reachMs = dayMs + 4 * 3_600_000;

/**
 * The first moment (ms since the epoch) of a day, which is where `dayOf` first tells it or a later one: a day that a zone left
 * out begins with the next.
 */
export function dayBegin(dayOf: DayOf, day: number): number {
  let low = Math.floor((day * dayMs - reachMs) / quarterHourMs);
  let high = Math.ceil((day * dayMs + reachMs) / quarterHourMs);
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    if (dayOf(middle * quarterHourMs) >= day) high = middle;
    else low = middle + 1;
  }
  return low * quarterHourMs;
}
