import { RowError } from './imported.ts';
import { shown } from './report-number.ts';

const pattern =
  /^(?<year>\d{4}|\d{2})-(?<month>\d{2})-(?<day>\d{2})[ T](?<time>\d{2}:\d{2}:\d{2})(?<fraction>\.\d{1,9})?(?<zone> UTC|Z|[+-]\d{2}:\d{2})?$/;

/**
 * Moment (ms) of a time in a report, such as `2024-01-31 09:30:00 UTC` or `2024-01-31T09:30:00Z`; without a zone it is UTC,
 * which the exchanges that leave it out state. Two digits of a year are of this century.
 * @throws {RowError} naming the column.
 */
export function readTime(text: string, column: string): number {
  const {
    year = '',
    month = '',
    day = '',
    time = '',
    fraction = '',
    zone = '',
  } = pattern.exec(text)?.groups ?? {};
  const date = `${year.length === 2 ? `20${year}` : year}-${month}-${day}`;
  const offset = zone === '' || zone === ' UTC' ? 'Z' : zone;
  const at = Date.parse(`${date}T${time}${fraction.slice(0, 4)}${offset}`);
  const isDay = new Date(Date.parse(`${date}T00:00:00Z`) || 0).toISOString().startsWith(date);
  if (Number.isNaN(at) || !isDay) {
    throw new RowError(column, `${shown(text)} is not a time written like 2024-01-31 09:30:00 UTC`);
  }
  return at;
}
