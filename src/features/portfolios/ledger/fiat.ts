import { fiatCurrencies } from '../../../domain/currencies.ts';

const fiats: ReadonlySet<string> = new Set(fiatCurrencies);

/** Whether a code, in any case, is a national currency: cash, which the books do not track. */
export function isFiat(code: string): boolean {
  return fiats.has(code.toLowerCase());
}
