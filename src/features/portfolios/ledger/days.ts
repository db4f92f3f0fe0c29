/** Days of a portfolio: whole days of its time zone, counted from 1970-01-01. Same-day matching and daily series use them. */
const dayMs = 86_400_000;
const quarterHourMs = 900_000;
/** Offsets change only at whole quarters of an hour, so one look-up serves all times of a quarter. */
const cachedQuarters = 20_000;

/** Number of the day that contains a time (ms since the epoch). */
export type DayOf = (at: number) => number;

/**
 * Days of an IANA time zone.
 * @throws {RangeError} when the runtime does not know the zone.
 */
export function daysOf(zone: string): DayOf {
  if (zone === 'UTC') return (at) => Math.floor(at / dayMs);
  const format = new Intl.DateTimeFormat('en-US', {
    timeZone: zone,
    calendar: 'gregory',
    numberingSystem: 'latn',
    year: 'numeric',
    month: 'numeric',
    day: 'numeric',
  });
  const known = new Map<number, number>();
  return (at) => {
    const quarter = Math.floor(at / quarterHourMs);
    const found = known.get(quarter);
    if (found !== undefined) return found;
    if (known.size >= cachedQuarters) known.clear();
    const [month = 0, day = 0, year = 0] = format
      .format(quarter * quarterHourMs)
      .split('/')
      .map(Number);
    const number = Date.UTC(year, month - 1, day) / dayMs;
    known.set(quarter, number);
    return number;
  };
}

/** Number of a day written `2024-01-31`; NaN when it is not a day. */
export function dayNumber(text: string): number {
  return Date.parse(`${text}T00:00:00Z`) / dayMs;
}

/** Text of a day, such as `2024-01-31`. */
export function dayText(day: number): string {
  return new Date(day * dayMs).toISOString().slice(0, 10);
}

/** No zone is farther from UTC, and no day longer, than a day and some hours. */
const reachMs = dayMs + 4 * 3_600_000;

/**
 * The start of a day (ms since the epoch): the first time at which `dayOf` returns it or a later one. A day that a zone skipped
 * starts with the next.
 */
export function dayStart(dayOf: DayOf, day: number): number {
  let low = Math.floor((day * dayMs - reachMs) / quarterHourMs);
  let high = Math.ceil((day * dayMs + reachMs) / quarterHourMs);
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    if (dayOf(middle * quarterHourMs) >= day) high = middle;
    else low = middle + 1;
  }
  return low * quarterHourMs;
}
