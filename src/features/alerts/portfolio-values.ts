/**
 * Values of portfolios, as `/portfolios/:id/valuation` has them: what the books say is held, at the quotes of this process. An
 * asset without a quote leaves no value at all, because a sum without it would seem to have fallen.
 */
import type { AlertValueQueries, HeldInPortfolio } from './queries/alert-values.ts';
import { amountOf, formatAmount, type Amount } from '../portfolios/ledger/amount.ts';
import { valueAt } from '../portfolios/ledger/price.ts';
import type { Valued } from './change-values.ts';
import { levelOf } from './level.ts';
import type { ReadQuote } from './seen.ts';
import type { Subject } from './subject.ts';

interface Held {
  readonly askedAt: number;
  readonly portfolio: HeldInPortfolio | undefined;
  readonly holdings: readonly { readonly assetId: string; readonly quantity: Amount }[];
}

/** What is held is read again after this long (ms), should the news of a change be lost. */
const heldMs = 10_000;
/** Portfolios of one statement. */
const batchSize = 200;
/** Assets of a portfolio that alerts can watch. */
const mostAssets = 1_000;

export class PortfolioValues {
  readonly #queries: Pick<AlertValueQueries, 'holdings'>;
  readonly #held = new Map<string, Held>();

  constructor(queries: Pick<AlertValueQueries, 'holdings'>) {
    this.#queries = queries;
  }

  /** Its books have changed, or nobody watches it any more. */
  forget(portfolioId: string): void {
    this.#held.delete(portfolioId);
  }

  /**
   * Makes sure that what is held is known. Returns the subjects whose holdings were read just now.
   * @throws {UnavailableError} Postgres does not answer.
   */
  async prepare(subjects: readonly Subject[], now: number): Promise<readonly Subject[]> {
    const due = subjects.filter(({ of }) => this.#isDue(of.portfolioId ?? '', now));
    for (let from = 0; from < due.length; from += batchSize) {
      const ids = due.slice(from, from + batchSize).map(({ of }) => of.portfolioId ?? '');
      const found = await this.#queries.holdings(ids, mostAssets);
      for (const id of ids) this.#held.set(id, heldOf(found.get(id), now));
    }
    return due;
  }

  /** Assets that are held, no more than are watched. */
  assetsOf({ of }: Subject): readonly string[] {
    const holdings = this.#held.get(of.portfolioId ?? '')?.holdings ?? [];
    return holdings.length > mostAssets ? [] : holdings.map(({ assetId }) => assetId);
  }

  /** The value now. */
  valueOf({ of }: Subject, quoteOf: (assetId: string) => ReadQuote | undefined, now: number): Valued {
    const held = this.#held.get(of.portfolioId ?? '');
    if (held?.portfolio === undefined) return { reason: 'books_behind' };
    if (held.portfolio.baseCurrency !== of.currency) return { reason: 'currency_changed' };
    if (!held.portfolio.isBooked) return { reason: 'books_behind' };
    if (held.holdings.length > mostAssets) return { reason: 'too_large' };
    const parts = held.holdings.map(({ assetId, quantity }) => ({ quantity, quote: quoteOf(assetId) }));
    const quotes = parts.flatMap(({ quote }) => quote ?? []);
    if (quotes.length < parts.length) return { reason: 'incomplete' };
    const total = parts.reduce(
      (sum, { quantity, quote }) => sum + (quote === undefined ? 0n : valueAt(quantity, quote.price)),
      0n,
    );
    return { seen: seenTotal(total, quotes, now) };
  }

  /** Books that are behind are looked at again at once. */
  #isDue(portfolioId: string, now: number): boolean {
    const held = this.#held.get(portfolioId);
    return held === undefined || now - held.askedAt >= heldMs || held.portfolio?.isBooked === false;
  }
}

function heldOf(portfolio: HeldInPortfolio | undefined, now: number): Held {
  const holdings = (portfolio?.holdings ?? []).map(({ assetId, quantity }) => ({
    assetId,
    quantity: amountOf(quantity),
  }));
  return { askedAt: now, portfolio, holdings };
}

/** As old as the oldest observation, and as new as the newest receipt. An empty portfolio is worth nothing at this moment. */
function seenTotal(total: Amount, quotes: readonly ReadQuote[], now: number) {
  const text = formatAmount(total);
  const receivedAt = quotes.reduce((newest, quote) => Math.max(newest, quote.receivedAt), 0) || now;
  const isFresh = quotes.every(({ state }) => state === 'fresh');
  const observed = quotes.flatMap(({ asOf }) => asOf ?? []).sort((a, b) => Date.parse(a) - Date.parse(b));
  const sources = [...new Set(quotes.map(({ source }) => source))].sort();
  const state = isFresh ? ('fresh' as const) : ('stale' as const);
  const quote = { asOf: observed[0] ?? null, receivedAt, source: sources.join(','), state };
  return { value: levelOf(text), text, at: receivedAt, isFresh, quote };
}
