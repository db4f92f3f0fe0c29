import { RowError } from './imported.ts';

/** Longest note that is kept (characters); what is longer is cut. */
const longestNote = 500;
/** No exchange has a longer symbol (characters). */
const longestSymbol = 50;

/** The beginning of a text, `length` characters at most; a character of two halves stays whole. */
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
