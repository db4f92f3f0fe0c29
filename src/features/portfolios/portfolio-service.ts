import type { PortfolioFields, PortfolioQueries } from './queries/portfolios.ts';
import type { Portfolio } from './ledger/portfolio.ts';
import type { Viewer } from '../../domain/job.ts';
import { NotFoundError } from '../../domain/errors.ts';
import { confirmVersion, type ExpectedVersion } from '../../domain/expected-version.ts';
import type { TakeWriteTurn } from './transactions/write-queue.ts';

/** A change of a portfolio. What is absent stays. */
export interface PortfolioChange {
  readonly id: string;
  readonly viewer: Viewer;
  readonly expected: ExpectedVersion;
  readonly changes: Partial<PortfolioFields>;
}

/** Where handlers find, make and change portfolios. All methods throw {@link UnavailableError} when Postgres does not answer. */
export interface PortfolioDesk {
  /**
   * A portfolio of the viewer.
   * @throws {NotFoundError} (`portfolio_not_found`) it does not exist or is not the viewer's.
   * @throws {UnavailableError} Postgres does not answer.
   */
  get(id: string, viewer: Viewer): Promise<Portfolio>;
  /**
   * @throws {ConflictError} (`portfolio_limit`) the viewer has as many as one may have.
   * @throws {ValidationError} (`time_zone`) the database does not know the time zone.
   */
  create(viewer: Viewer, fields: PortfolioFields): Promise<Portfolio>;
  /** A page of the viewer's portfolios, the newest first. */
  page(asked: {
    readonly viewer: Viewer;
    readonly page: number;
    readonly limit: number;
  }): Promise<{ readonly portfolios: readonly Portfolio[]; readonly total: number }>;
  /**
   * Changes what differs; another method or time zone has the books kept anew.
   * @throws {NotFoundError} as `get` does.
   * @throws {PreconditionFailedError} it has another version than the client expects.
   * @throws {ConflictError} (`base_currency_fixed`) another base currency, and there are transactions.
   * @throws {UnavailableError} (`portfolio_busy`) too many changes of it wait.
   * @throws {ValidationError} (`time_zone`) the database does not know the time zone.
   */
  change(change: PortfolioChange): Promise<Portfolio>;
  /** Deletes a portfolio with all that is in it. @throws what `change` throws. */
  remove(removal: Omit<PortfolioChange, 'changes'>): Promise<void>;
}

export interface PortfolioDeskDeps {
  readonly portfolios: PortfolioQueries;
  readonly takeTurn: TakeWriteTurn;
  /** Has the books of a portfolio brought up to date; never rejects. */
  readonly updateBooks: (portfolioId: string) => void;
}

/** Portfolios that one user may have. */
const portfolioLimit = 200;

/** Builds the {@link PortfolioDesk}. */
export function createPortfolioDesk({ portfolios, takeTurn, updateBooks }: PortfolioDeskDeps): PortfolioDesk {
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
    create: (viewer, fields) => portfolios.insert(viewer.userId, fields, portfolioLimit),
    page: ({ viewer, page, limit }) =>
      portfolios.page({ userId: viewer.userId, offset: (page - 1) * limit, limit }),

    async change({ id, changes, ...who }) {
      // Locks nothing of somebody else's.
      await get(id, who.viewer);
      const changed = await takeTurn(id, () => portfolios.update({ id, changes, confirm: confirmer(who) }));
      if (changed.bookedVersion < changed.booksVersion) updateBooks(id);
      return changed;
    },

    async remove({ id, ...who }) {
      await get(id, who.viewer);
      await takeTurn(id, () => portfolios.remove({ id, confirm: confirmer(who) }));
    },
  };
}

/** Books are private: admins see their own only. */
function confirmOwner(portfolio: Portfolio, viewer: Viewer): void {
  if (portfolio.userId !== viewer.userId) throw missing();
}

function missing(): NotFoundError {
  return new NotFoundError('There is no such portfolio, or it is somebody else’s', 'portfolio_not_found');
}
