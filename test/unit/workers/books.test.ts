/** Updates of books by their turns, over books that are always changed meanwhile. */
import { expect } from 'chai';
import { silentLogger } from '../../../src/platform/observability/logger.ts';
import {
  BooksChangedError,
  type LedgerQueries,
  type UpdateMode,
} from '../../../src/features/portfolios/queries/ledgers.ts';
import { createBooksUpdate } from '../../../workers/processors/portfolios/books.ts';
import { jobContext } from '../../support/job-context.ts';

describe('a long update of books', () => {
  it('that is overtaken each time fails, and nobody is told that they are current', async () => {
    const modes: UpdateMode[] = [];
    const reported: string[] = [];
    const update = (_id: string, mode: UpdateMode): Promise<unknown> => {
      modes.push(mode);
      return modes.length === 1 ? Promise.resolve('long') : Promise.reject(new BooksChangedError());
    };
    const run = createBooksUpdate({
      ledgers: { update } as unknown as LedgerQueries,
      replays: { run: () => Promise.reject(new Error('nothing is replayed')) },
      channel: { publish: (id) => Promise.resolve(void reported.push(id)) },
      log: silentLogger(),
    });
    const failed: unknown = await run({ portfolioId: 'one' }, jobContext()).catch((error: unknown) => error);
    expect(failed).to.be.instanceOf(BooksChangedError);
    expect(modes).to.deep.equal(['locked', 'optimistic', 'optimistic', 'locked']);
    expect(reported).to.deep.equal([]);
  });
});
