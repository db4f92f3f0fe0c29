import { Decimal } from 'decimal.js';

/** Enough digits for any quantity times any price. */
const Exact = Decimal.clone({ precision: 80, toExpNeg: -40, toExpPos: 60 });

/** A price with at least two decimals, and with as many as a small one needs for five significant digits. */
export function priceText(price: number): string {
  const exact = new Exact(price);
  const decimals = exact.isZero() || exact.abs().gte(1) ? 2 : Math.min(12, 4 - exact.e);
  return grouped(exact.toFixed(decimals));
}

/** Decimal text rounded to cents. */
export function moneyText(amount: string): string {
  return grouped(new Exact(amount).toFixed(2));
}

/** A change in per cent, with its sign. */
export function percentText(percent: number | null): string {
  if (percent === null) return '-';
  return `${percent > 0 ? '+' : ''}${percent.toFixed(2)}%`;
}

/** An age in the unit that suits it. */
export function ageText(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 100) return `${seconds}s`;
  if (seconds < 6_000) return `${Math.round(seconds / 60)}m`;
  return `${Math.round(seconds / 3_600)}h`;
}

/** A bar such as `[######----] 6/10`. */
export function barText(done: number, total: number, width = 40): string {
  const filled = total === 0 ? width : Math.floor((done / total) * width);
  return `[${'#'.repeat(filled)}${'-'.repeat(width - filled)}] ${done}/${total}`;
}

function grouped(text: string): string {
  const [whole = '', fraction] = text.split('.');
  const groups = whole.replace(/\B(?=(\d{3})+$)/g, ',');
  return fraction === undefined ? groups : `${groups}.${fraction}`;
}
