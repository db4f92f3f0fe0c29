import type { CostBasisMethod } from '../../../domain/bookkeeping.ts';
import type { DayOf } from './days.ts';
import type { AssetBook, Pile } from './asset-book.ts';
import { createAverageBook } from './average-book.ts';
import { createLotBook, type LotBookState } from './lot-book.ts';
import { createUkPoolBook, type UkPoolState } from './uk-pool-book.ts';

/** How lots are kept. */
export interface BookOptions {
  readonly method: CostBasisMethod;
  /** Days of the portfolio's time zone. */
  readonly dayOf: DayOf;
}

/** State of a book, by its method. */
export type BookState =
  | { readonly method: 'fifo' | 'lifo' | 'hifo'; readonly state: LotBookState }
  | { readonly method: 'average'; readonly state: Pile }
  | { readonly method: 'uk_pool'; readonly state: UkPoolState };

/** An empty book, or one that goes on from a state of the same method. */
export function openBook({ method, dayOf }: BookOptions, from?: BookState): AssetBook {
  if (from !== undefined && from.method !== method) {
    throw new Error(`a book by ${method} cannot go on from a state by ${from.method}`);
  }
  if (method === 'average') return createAverageBook(from?.method === 'average' ? from.state : undefined);
  if (method === 'uk_pool')
    return createUkPoolBook(dayOf, from?.method === 'uk_pool' ? from.state : undefined);
  return createLotBook(method, isOfLots(from) ? from.state : undefined);
}

/** The state that a book opened with `method` has now. */
export function stateOf(method: CostBasisMethod, book: AssetBook): BookState {
  return { method, state: book.state() } as BookState;
}

function isOfLots(from: BookState | undefined): from is BookState & { readonly state: LotBookState } {
  return from?.method === 'fifo' || from?.method === 'lifo' || from?.method === 'hifo';
}
