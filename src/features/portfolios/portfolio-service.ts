import type { PortfolioFields, PortfolioQueries } from './queries/portfolios.ts';
import type { Portfolio } from './ledger/portfolio.ts';
import type { Viewer } from '../../domain/job.ts';
import { messageOf, NotFoundError } from '../../domain/errors.ts';
import type { Platform } from '../../platform/platform.ts';
import type { Realtime } from '../../platform/realtime/realtime.ts';
import type { AssetDirectory } from '../assets/asset-directory.ts';
import type { PriceStreams } from '../quotes/price-streams.ts';
import type { QuoteService } from '../quotes/quote-service.ts';
import type { BooksService } from './books-service.ts';
import { createBooksWatch } from './books-watch.ts';
import { createExportQueries } from './queries/exports.ts';
import type { ImportQueries } from './queries/imports.ts';
import type { PortfolioSnapshots } from './queries/portfolio-snapshots.ts';
import { createTransactionQueries } from './queries/transactions.ts';
import { createBookReader } from './book-reader.ts';
import { createPortfolioStreams } from './portfolio-stream.ts';
import {
  createTransactionOperations,
  createWriteLocks,
  type WithWriteLock,
} from './transactions/transaction-service.ts';
import { createValuations } from './valuation/valuation-service.ts';
import { createValueHistoryReader } from './valuation/value-history-reader.ts';
import { confirmVersion, type ExpectedVersion } from '../../domain/expected-version.ts';

/** A change of a portfolio. Absent fields keep their value. */
export interface PortfolioChange {
  readonly id: string;
  readonly viewer: Viewer;
  readonly expected: ExpectedVersion;
  readonly changes: Partial<PortfolioFields>;
}

/** Portfolios that one user may have. */
const portfolioLimit = 200;

/**
 * Builds the operations with which handlers find, create and change portfolios. All throw {@link UnavailableError} when
 * Postgres does not answer. `updateBooks` requests an update of a portfolio's books and never rejects.
 */
export function createPortfolioOperations({
  portfolios,
  withWriteLock,
  updateBooks,
  announceEnd,
}: {
  readonly portfolios: PortfolioQueries;
  readonly withWriteLock: WithWriteLock;
  readonly updateBooks: (portfolioId: string) => void;
  /** Notifies followers of a portfolio at once that it was deleted; a lost message is made up for by polling. */
  readonly announceEnd?: (portfolioId: string) => Promise<void>;
}) {
  /**
   * A portfolio of the viewer.
   * @throws {NotFoundError} (`portfolio_not_found`) it does not exist or is not the viewer's.
   */
  async function get(id: string, viewer: Viewer): Promise<Portfolio> {
    const portfolio = await portfolios.find(id);
    if (portfolio === undefined) throw missing();
    confirmOwner(portfolio, viewer);
    return portfolio;
  }

  const confirmer =
    ({ viewer, expected }: Omit<PortfolioChange, 'id' | 'changes'>) =>
    (portfolio: Portfolio): void => {
      confirmOwner(portfolio, viewer);
      confirmVersion(portfolio.version, expected);
    };

  return {
    get,
    /**
     * @throws {ConflictError} (`portfolio_limit`) the viewer has reached the limit of portfolios.
     * @throws {ValidationError} (`time_zone`) the database does not know the time zone.
     */
    create: (viewer: Viewer, fields: PortfolioFields): Promise<Portfolio> =>
      portfolios.insert(viewer.userId, fields, portfolioLimit),
    /** A page of the viewer's portfolios, the newest first. */
    page: ({
      viewer,
      page,
      limit,
    }: {
      readonly viewer: Viewer;
      readonly page: number;
      readonly limit: number;
    }) => portfolios.page({ userId: viewer.userId, offset: (page - 1) * limit, limit }),

    /**
     * Changes the given fields; another method or time zone rebuilds the books from scratch.
     * @throws {NotFoundError} as `get` does.
     * @throws {PreconditionFailedError} it has another version than the client expects.
     * @throws {ConflictError} (`base_currency_fixed`) another base currency, and there are transactions.
     * @throws {UnavailableError} (`portfolio_busy`) too many changes of it wait.
     * @throws {ValidationError} (`time_zone`) the database does not know the time zone.
     */
    async change({ id, changes, ...who }: PortfolioChange): Promise<Portfolio> {
      // Does not lock another user's portfolio.
      await get(id, who.viewer);
      const changed = await withWriteLock(id, () =>
        portfolios.update({ id, changes, confirm: confirmer(who) }),
      );
      if (changed.bookedVersion < changed.booksVersion) updateBooks(id);
      return changed;
    },

    /** Deletes a portfolio with all its contents. @throws what `change` throws. */
    async remove({ id, ...who }: Omit<PortfolioChange, 'changes'>): Promise<void> {
      await get(id, who.viewer);
      await withWriteLock(id, () => portfolios.remove({ id, confirm: confirmer(who) }));
      await announceEnd?.(id).catch(() => undefined);
    },
  };
}

/** Books are private: admins see only their own. */
function confirmOwner(portfolio: Portfolio, viewer: Viewer): void {
  if (portfolio.userId !== viewer.userId) throw missing();
}

function missing(): NotFoundError {
  return new NotFoundError('Portfolio not found', 'portfolio_not_found');
}

/** See {@link createPortfolioService}. */
export type PortfolioService = ReturnType<typeof createPortfolioService>;

/** Longest wait (ms) for books that are not current. */
const booksWaitMs = 5_000;

/** Builds the portfolio service of API processes, without doing any I/O. */
export function createPortfolioService(
  { config, log, shutdown, knex, clock }: Platform,
  books: BooksService,
  {
    assets,
    quotes,
    prices,
    realtime,
  }: {
    readonly assets: Pick<AssetDirectory, 'isKnown' | 'byId'>;
    readonly quotes: Pick<QuoteService, 'getMany'>;
    readonly prices: Pick<PriceStreams, 'hub' | 'load'>;
    readonly realtime: Pick<Realtime, 'open'>;
  },
) {
  const { portfolios: rows, reading, channel, update, findMarketValues, past } = books;
  const imports: Pick<ImportQueries, 'open' | 'addChunk' | 'complete' | 'discard' | 'find' | 'list'> =
    books.imports;
  const portfolioSnapshots: Pick<PortfolioSnapshots, 'list'> = books.snapshots;
  // The periodic sweep finds updates that are lost here, by the versions of the books.
  const updateBooks = (portfolioId: string): void => {
    update(portfolioId).catch((error: unknown) => {
      log.debug({ portfolioId, reason: messageOf(error) }, 'an update of the books could not be queued');
    });
  };
  const withWriteLock = createWriteLocks();
  const portfolios = createPortfolioOperations({
    portfolios: rows,
    withWriteLock,
    updateBooks,
    announceEnd: (id) => channel.publish(id),
  });
  const reader = createBookReader({
    reading,
    channel,
    requestUpdate: update,
    clock,
    log,
  });
  const watch = createBooksWatch({ channel, versions: (ids) => reading.versions(ids), log });
  shutdown.add('queues', 'watched books', () => watch.close());
  return {
    portfolios,
    transactions: createTransactionOperations({
      portfolios,
      transactions: createTransactionQueries(knex),
      withWriteLock,
      findMarketValues,
      isAsset: (id) => !assets.isKnown() || assets.byId(id) !== undefined,
      updateBooks,
      limit: config.PORTFOLIO_TRANSACTION_LIMIT,
      clock,
    }),
    /** Derived tables of portfolios. */
    books: reader,
    /** Uploaded reports. */
    imports,
    exports: createExportQueries(knex),
    /** Current values of portfolios, */
    valuations: createValuations({
      portfolios: reading,
      reader,
      quotes: quotes.getMany,
      watch,
      quotesWaitMs: config.READ_WAIT,
      booksWaitMs,
    }),
    /** daily values, */
    valueHistory: createValueHistoryReader({
      readBooks: books.readDailyBooks,
      past,
      quotes: quotes.getMany,
      clock,
    }),
    /** and stored snapshots. */
    portfolioSnapshots,
    /** Streams of the values of portfolios. */
    streams: createPortfolioStreams({ realtime, prices, clock, log }),
  };
}
