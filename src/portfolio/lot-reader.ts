import type { BookReading } from '../../db/queries/book-reading.ts';
import type { Lot } from '../books/ledger/asset-book.ts';
import { lotsOfMark } from '../books/ledger/replay.ts';
import type { Portfolio } from '../books/portfolio.ts';
import type { BookStanding, Position } from './book-reader.ts';

/** An open lot and whose it is. */
export interface AssetLot extends Lot {
  readonly assetId: string;
}

/** Which open lots: of one asset or of all, in the order of assets and then of acquisition. */
export interface LotQuery {
  readonly portfolio: Pick<Portfolio, 'id' | 'method' | 'timeZone'>;
  readonly standing: BookStanding;
  readonly assetId?: string | undefined;
  readonly offset: number;
  readonly limit: number;
}

/** A page of open lots. */
export interface LotPage {
  readonly lots: readonly AssetLot[];
  readonly total: number;
}

/** Reads open lots of books that are current. @throws {UnavailableError} when Postgres does not answer. */
export type ReadLots = (query: LotQuery) => Promise<LotPage>;

/** Builds a {@link ReadLots}. Only the assets that the page lies in are read, and of long lists only the page. */
export function createLotReader(reading: Pick<BookReading, 'lots' | 'lastMark'>): ReadLots {
  return async ({ portfolio, standing, assetId, offset, limit }) => {
    const all = standing.positions.filter((each) => assetId === undefined || each.assetId === assetId);
    const lots: AssetLot[] = [];
    let before = 0;
    for (const { assetId: asset, openLots } of all) {
      const from = Math.max(0, offset - before);
      const most = Math.min(openLots - from, limit - lots.length);
      before += openLots;
      if (most <= 0) continue;
      const found = await lotsOf(reading, portfolio, { asset, offset: from, limit: most });
      for (const lot of found) lots.push({ ...lot, assetId: asset });
    }
    return { lots, total: all.reduce((sum: number, each: Position) => sum + each.openLots, 0) };
  };
}

interface Within {
  readonly asset: string;
  readonly offset: number;
  readonly limit: number;
}

async function lotsOf(
  reading: Pick<BookReading, 'lots' | 'lastMark'>,
  portfolio: LotQuery['portfolio'],
  { asset, offset, limit }: Within,
): Promise<readonly Lot[]> {
  const { id: portfolioId, method } = portfolio;
  if (method !== 'average' && method !== 'uk_pool')
    return await reading.lots({ portfolioId, assetId: asset, offset, limit });
  const mark = await reading.lastMark(portfolioId, asset);
  return mark === undefined ? [] : lotsOfMark(mark, portfolio).slice(offset, offset + limit);
}
