/**
 * Parses the cells of a report: numbers, times, symbols and notes. Strict: a cell that cannot be read is refused, with its
 * column named.
 */
import { formatAmount, parseAmount } from '../ledger/amount.ts';

/** A row that violates a rule. */
export class RowError extends Error {
  readonly column: string | null;
  readonly reason: string;

  constructor(column: string | null, reason: string) {
    super(reason);
    this.column = column;
    this.reason = reason;
  }
}

/** What Postgres cannot store (NUL, lone surrogates), and what no report has: control characters except tabs and line ends. */
const noText = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f\ud800-\udfff]/u;

/** Whether a text can be stored. */
export function isText(text: string): boolean {
  return !noText.test(text);
}

/** Longest stored note (characters); longer ones are cut. */
const longestNote = 500;
/** No exchange has a longer symbol (characters). */
const longestSymbol = 50;

/** The first `length` characters of a text at most; a surrogate pair is never split. */
export function cut(text: string, length: number): string {
  if (text.length <= length) return text;
  const isHalved = /[\ud800-\udbff]/.test(text.charAt(length - 1));
  return text.slice(0, isHalved ? length - 1 : length);
}

/** The note in a cell; null when it is empty. */
export function readNote(text: string): string | null {
  return text === '' ? null : cut(text, longestNote);
}

/**
 * The symbol in a cell.
 * @throws {RowError} naming the column: it is empty, or too long to be a symbol.
 */
export function readSymbol(text: string, column: string, longest = longestSymbol): string {
  if (text === '') throw new RowError(column, 'is empty');
  if (text.length > longest) throw new RowError(column, `is longer than ${longest} characters`);
  return text;
}

/** How a file formats numbers. */
export interface NumberStyle {
  readonly decimal: '.' | ',';
  /** What separates groups of three digits; undefined when nothing does. */
  readonly thousands?: ',' | '.' | ' ' | "'" | undefined;
}

/** `1234.56`, without a thousands separator. */
export const plainStyle: NumberStyle = { decimal: '.' };

const sign = String.raw`(?<sign>-?)`;
const currencySign = String.raw`(?:[€$£¥₹₩₽₺₴฿₫₱₪]|[A-Z]{0,3}\$)?`;
/** A longer cell cannot be a number that fits, and is not parsed. */
const longestNumber = 100;
/** Longer exponents only make numbers that are refused anyway. */
const exponent = String.raw`(?:[eE](?<exponent>[+-]?\d{1,3}))?`;

/**
 * Canonical decimal text of a number in a report, which may have a currency sign and an exponent. Strict: groups of thousands
 * must be complete and in the file's style, and ambiguous numbers are refused; so are more than 20 digits before or 18 after
 * the point.
 * @throws {RowError} naming the column.
 */
export function readNumber(text: string, column: string, style: NumberStyle = plainStyle): string {
  if (text.length > longestNumber)
    throw new RowError(column, `${shown(text)} is longer than ${longestNumber} characters`);
  const match = patternOf(style).exec(text);
  const { sign: minus, lead, whole, fraction, exponent: power } = match?.groups ?? {};
  if (whole === undefined || (minus === '-' && lead === '-'))
    throw new RowError(column, `${shown(text)} is not a number written like ${example(style)}`);
  const digits = style.thousands === undefined ? whole : whole.replaceAll(style.thousands, '');
  const isNegative = (minus === '-') !== (lead === '-');
  const amount = parseAmount(shifted(digits, fraction ?? '', Number(power ?? 0)));
  if (amount === undefined) {
    throw new RowError(column, `${shown(text)} has more than 20 digits before or 18 after the point`);
  }
  return formatAmount(isNegative ? -amount : amount);
}

/** As {@link readNumber}; null for an empty cell. */
export function readOptionalNumber(text: string, column: string, style?: NumberStyle): string | null {
  return text === '' ? null : readNumber(text, column, style);
}

/**
 * Refuses a minus in formats that never write one: its meaning would be unknown.
 * @throws {RowError} naming the column.
 */
export function checkSign(number: string, column: string): void {
  if (number.startsWith('-')) throw new RowError(column, 'must not be less than 0');
}

/** The number without its sign. */
export function magnitude(number: string): string {
  return number.startsWith('-') ? number.slice(1) : number;
}

const patterns = new Map<string, RegExp>();

function patternOf({ decimal, thousands }: NumberStyle): RegExp {
  const key = decimal + (thousands ?? '');
  const known = patterns.get(key);
  if (known !== undefined) return known;
  const whole = thousands === undefined ? String.raw`\d+` : String.raw`\d{1,3}(?:[${thousands}]\d{3})+|\d+`;
  const fraction = String.raw`(?:[${decimal}](?<fraction>\d+))?`;
  const pattern = new RegExp(`^${sign}${currencySign}(?<lead>-?)(?<whole>${whole})${fraction}${exponent}$`);
  patterns.set(key, pattern);
  return pattern;
}

/** Moves the point by a power of ten, and drops redundant zeros. */
function shifted(whole: string, fraction: string, power: number): string {
  const place = whole.length + power;
  const digits = whole + fraction;
  const before = place <= 0 ? '0' : digits.slice(0, place).padEnd(place, '0');
  const behind = place <= 0 ? '0'.repeat(-place) + digits : digits.slice(place);
  const integer = before.replace(/^0+(?=\d)/, '');
  const rest = behind.slice(0, endOfDigits(behind));
  return rest === '' ? integer : `${integer}.${rest}`;
}

/** Place after the last digit that is not 0. (A regular expression for trailing zeros would restart at each zero.) */
function endOfDigits(digits: string): number {
  let end = digits.length;
  while (digits[end - 1] === '0') end -= 1;
  return end;
}

function example({ decimal, thousands }: NumberStyle): string {
  return `1${thousands ?? ''}234${decimal}56`;
}

/** A cell, shortened for a message, in a form that can be stored. */
export function shown(text: string): string {
  const reported = text.length > 40 ? `${cut(text, 40)}…` : text;
  return `"${isText(reported) ? reported : reported.replaceAll(/[^\p{L}\p{N}\p{P}\p{S} ]/gu, '\ufffd')}"`;
}

const pattern =
  /^(?<year>\d{4}|\d{2})-(?<month>\d{2})-(?<day>\d{2})[ T](?<time>\d{2}:\d{2}:\d{2})(?<fraction>\.\d{1,9})?(?<zone> UTC|Z|[+-]\d{2}:\d{2})?$/;

/**
 * The time (ms) in a cell, such as `2024-01-31 09:30:00 UTC` or `2024-01-31T09:30:00Z`; without a zone it is UTC, as the
 * exchanges that leave it out state. Two-digit years are of this century.
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
