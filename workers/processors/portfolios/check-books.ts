import type { LedgerQueries } from '../../../src/features/portfolios/queries/ledgers.ts';

/** Portfolios of one look; the next look goes on behind them, so that one that cannot be updated hides nothing. */
const pageSize = 200;

/**
 * Looks for portfolios whose derived tables are behind and has them updated. Most of them have an update under way already,
 * and equal ones are dropped by the queue; the others lost theirs. Returns how many were found.
 */
export function createBooksCheck({
  ledgers,
  kick,
}: {
  readonly ledgers: Pick<LedgerQueries, 'unbooked'>;
  /** Has the books of a portfolio updated. */
  readonly kick: (portfolioId: string) => Promise<void>;
}): () => Promise<number> {
  let after: string | undefined;
  return async () => {
    const behind = await ledgers.unbooked({ after, limit: pageSize });
    after = behind.length < pageSize ? undefined : behind.at(-1);
    await Promise.all(behind.map(kick));
    return behind.length;
  };
}
