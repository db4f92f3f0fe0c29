import { formatAmount, parseAmount } from '../amount.ts';
import { RowError } from './imported.ts';

/** How a file writes numbers. */
export interface NumberStyle {
  readonly decimal: '.' | ',';
  /** What separates groups of three digits; undefined when nothing does. */
  readonly thousands?: ',' | '.' | ' ' | "'" | undefined;
}

/** `1234.56`, and nothing between thousands. */
export const plainStyle: NumberStyle = { decimal: '.' };

const sign = String.raw`(?<sign>-?)`;
const currencySign = String.raw`(?:[€$£¥₹₩₽₺₴฿₫₱₪]|[A-Z]{0,3}\$)?`;
/** Longer exponents only make numbers that are refused anyway. */
const exponent = String.raw`(?:[eE](?<exponent>[+-]?\d{1,3}))?`;

/**
 * Canonical decimal text of a number in a report, which may carry a currency sign and an exponent. Strict: groups of thousands
 * must be whole and of the file's style, and what could be read in two ways is refused; so are more than 20 digits before or
 * 18 behind the point.
 * @throws {RowError} naming the column.
 */
export function readNumber(text: string, column: string, style: NumberStyle = plainStyle): string {
  const match = patternOf(style).exec(text);
  const { sign: minus, lead, whole, fraction, exponent: power } = match?.groups ?? {};
  if (whole === undefined || (minus === '-' && lead === '-'))
    throw new RowError(column, `${shown(text)} is not a number written like ${example(style)}`);
  const digits = style.thousands === undefined ? whole : whole.replaceAll(style.thousands, '');
  const isNegative = (minus === '-') !== (lead === '-');
  const amount = parseAmount(shifted(digits, fraction ?? '', Number(power ?? 0)));
  if (amount === undefined) {
    throw new RowError(column, `${shown(text)} has more than 20 digits before or 18 behind the point`);
  }
  return formatAmount(isNegative ? -amount : amount);
}

/** As {@link readNumber}; null for an empty cell. */
export function readOptionalNumber(text: string, column: string, style?: NumberStyle): string | null {
  return text === '' ? null : readNumber(text, column, style);
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

/** Moves the point by a power of ten, and drops zeros that say nothing. */
function shifted(whole: string, fraction: string, power: number): string {
  const place = whole.length + power;
  const digits = whole + fraction;
  const before = place <= 0 ? '0' : digits.slice(0, place).padEnd(place, '0');
  const behind = place <= 0 ? '0'.repeat(-place) + digits : digits.slice(place);
  const integer = before.replace(/^0+(?=\d)/, '');
  const rest = behind.replace(/0+$/, '');
  return rest === '' ? integer : `${integer}.${rest}`;
}

function example({ decimal, thousands }: NumberStyle): string {
  return `1${thousands ?? ''}234${decimal}56`;
}

/** A cell, short enough for a message. */
export function shown(text: string): string {
  return `"${text.length > 40 ? `${text.slice(0, 40)}…` : text}"`;
}
