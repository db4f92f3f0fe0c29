/**
 * The month of credits starts on a day (UTC) of each calendar month, or on the last day of a month without that day. Returns
 * the starts of the previous month, this one and the next two, in ms since the epoch, for comparison with another clock.
 * @param startsOn 1 to 31
 */
export function monthStarts(nowMs: number, startsOn: number): readonly [number, number, number, number] {
  const now = new Date(nowMs);
  const begin = (offset: number): number =>
    startIn(now.getUTCFullYear(), now.getUTCMonth() + offset, startsOn);
  const first = begin(0) <= nowMs ? -1 : -2;
  return [begin(first), begin(first + 1), begin(first + 2), begin(first + 3)];
}

function startIn(year: number, month: number, startsOn: number): number {
  const days = new Date(Date.UTC(year, month + 1, 0)).getUTCDate();
  return Date.UTC(year, month, Math.min(startsOn, days));
}
