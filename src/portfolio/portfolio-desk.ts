import type { Portfolio } from '../books/portfolio.ts';
import type { Viewer } from '../domain/job.ts';

/** Where handlers find, make and change portfolios. */
export interface PortfolioDesk {
  /**
   * A portfolio of the viewer.
   * @throws {NotFoundError} (`portfolio_not_found`) it does not exist or is not the viewer's.
   * @throws {UnavailableError} Postgres does not answer.
   */
  get(id: string, viewer: Viewer): Promise<Portfolio>;
}
