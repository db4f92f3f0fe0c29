import type { BookPages, LotSpan } from './queries/book-reading.ts';
import { lotsOfMark } from './ledger/replay.ts';
import type { AssetLot, BookStanding, LotPage, LotQuery, Position } from './book-reader.ts';

/** Marks do not have the lots that positions count: they are to be made again, by an update of the books. */
export class BooksBehindError extends Error {
  override readonly name = 'BooksBehindError';
}

/**
 * Reads open lots of books that are current, in the snapshot that their standing is of. Only the assets that the page lies in
 * are read, and of long lists only the page.
 * @throws {BooksBehindError} the marks are of other books.
 * @throws {UnavailableError} Postgres does not answer.
 */
export async function readLots(
  pages: Pick<BookPages, 'lots' | 'lastMarks'>,
  { portfolio, positions }: Pick<BookStanding, 'portfolio' | 'positions'>,
  { assetId, offset, limit }: LotQuery,
): Promise<LotPage> {
  const all = positions.filter((each) => assetId === undefined || each.assetId === assetId);
  const spans = spansOf(all, offset, limit);
  const { method } = portfolio;
  const lots =
    method === 'average' || method === 'uk_pool'
      ? await poolsOf(pages, portfolio, spans)
      : await pages.lots(portfolio, spans);
  if (lots.length !== spans.reduce((sum, span) => sum + span.limit, 0))
    throw new BooksBehindError(`the marks of portfolio ${portfolio.id} are of other books`);
  return { lots, total: all.reduce((sum, each) => sum + each.openLots, 0) };
}

/** What of each asset lies in the page. */
function spansOf(positions: readonly Position[], offset: number, limit: number): LotSpan[] {
  const spans: LotSpan[] = [];
  let before = 0;
  let left = limit;
  for (const { assetId, openLots } of positions) {
    const from = Math.max(0, offset - before);
    const most = Math.min(openLots - from, left);
    before += openLots;
    if (most <= 0) continue;
    left -= most;
    spans.push({ assetId, offset: from, limit: most });
  }
  return spans;
}

async function poolsOf(
  pages: Pick<BookPages, 'lastMarks'>,
  portfolio: BookStanding['portfolio'],
  spans: readonly LotSpan[],
): Promise<AssetLot[]> {
  const marks = await pages.lastMarks(
    portfolio,
    spans.map(({ assetId }) => assetId),
  );
  return spans.flatMap(({ assetId, offset, limit }) => {
    const mark = marks.get(assetId);
    if (mark === undefined) return [];
    const lots = lotsOfMark(mark, portfolio).slice(offset, offset + limit);
    return lots.map((lot) => ({ ...lot, assetId }));
  });
}
