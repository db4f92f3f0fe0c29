import type { QuoteService } from '../../../src/features/quotes/quote-service.ts';
import { parseAmount } from '../../../src/features/portfolios/ledger/amount.ts';
import type { Portfolio } from '../../../src/features/portfolios/ledger/portfolio.ts';
import type { Position } from '../../../src/features/portfolios/queries/book-reading.ts';
import type { QuoteReading } from '../../../src/domain/cached-quote.ts';
import type { PortfolioService } from '../../../src/features/portfolios/portfolio-service.ts';
import { NotFoundError } from '../../../src/domain/errors.ts';
import { createBooksWatch } from '../../../src/features/portfolios/books-watch.ts';
import { createValuations } from '../../../src/features/portfolios/valuation/valuation-service.ts';
import { silentLogger } from '../../../src/platform/observability/logger.ts';

export const portfolioId = '01934c2a-0000-7000-8000-0000000000b0';
/** Whose token a test has. */
const ownerId = '01934c2a-0000-7000-8000-000000000001';

const amount = (text: string): bigint => parseAmount(text)!;

/** Bought for `cost`, nothing sold. */
export function heldAsset(assetId: string, quantity: string, cost = '0'): Position {
  const tally = { acquired: amount(cost), consumed: 0n, left: 0n, proceeds: 0n };
  return { assetId, quantity: amount(quantity), tally, openLots: 1 };
}

/** One portfolio whose books a test writes, behind the real desk of valuations. */
export class MadeUpBooks {
  portfolio: Portfolio = {
    id: portfolioId,
    userId: ownerId,
    name: 'mine',
    baseCurrency: 'usd',
    method: 'fifo',
    timeZone: 'UTC',
    version: 1,
    booksVersion: 1,
    bookedVersion: 1,
    createdAt: new Date(),
    updatedAt: new Date(),
  };
  assets: readonly Position[] = [];
  isGone = false;
  /** Times that books were read. */
  reads = 0;
  /** What happens when the books have been read and are not told yet. */
  whileRead: (() => void) | undefined;
  /** What was asked of quotes. */
  readonly requested: Parameters<QuoteService['getMany']>[0][] = [];
  readonly readings = new Map<string, QuoteReading>();
  readonly #listeners = new Set<(portfolioId: string) => void>();

  /** Another version of the books; `isAnnounced`: news of it are not lost. */
  change(assets: readonly Position[], isAnnounced = true): void {
    const version = this.portfolio.booksVersion + 1;
    this.portfolio = { ...this.portfolio, booksVersion: version, bookedVersion: version };
    this.assets = assets;
    if (isAnnounced) this.tell();
  }

  tell(): void {
    for (const listener of this.#listeners) listener(portfolioId);
  }

  get listening(): number {
    return this.#listeners.size;
  }

  /** `pollIntervalMs`: how soon lost news are made up for. */
  deps(pollIntervalMs = 60_000): Pick<PortfolioService, 'portfolios' | 'valuations'> {
    const find = (id: string) => {
      this.reads += 1;
      const isThere = id === portfolioId && !this.isGone;
      const found = isThere ? { portfolio: this.portfolio, assets: this.assets } : undefined;
      this.whileRead?.();
      return Promise.resolve(found);
    };
    const watch = createBooksWatch({
      channel: {
        listen: (onBooked) => {
          this.#listeners.add(onBooked);
          return () => this.#listeners.delete(onBooked);
        },
      },
      versions: () =>
        Promise.resolve(new Map(this.isGone ? [] : [[portfolioId, this.portfolio.bookedVersion]])),
      log: silentLogger(),
      pollIntervalMs,
    });
    const portfolios = {
      get: async (id: string, { userId }: { userId: string }) => {
        const found = await find(id);
        if (found?.portfolio.userId !== userId)
          throw new NotFoundError('Portfolio not found', 'portfolio_not_found');
        return found.portfolio;
      },
    } as unknown as PortfolioService['portfolios'];
    const valuations = createValuations({
      portfolios: { find },
      reader: { current: () => Promise.reject(new Error('books are current')) },
      quotes: (requested) => {
        this.requested.push(requested);
        return Promise.resolve(this.readings);
      },
      watch,
      quotesWaitMs: 50,
      booksWaitMs: 50,
    });
    return { portfolios, valuations };
  }
}
