/**
 * Takes snapshots of the values of portfolios, in workers. Nobody waits for one, so it uses cached quotes, stale ones too, and
 * lists what is missing. Only a change of transactions requests missing quotes, with the lowest urgency: somebody has just
 * worked on that portfolio. The end of a day requests nothing, so that portfolios which nobody reads cause no calls.
 */
import type { BookedPortfolio, BookReading } from '../queries/book-reading.ts';
import type { PortfolioSnapshot, PortfolioSnapshots } from '../queries/portfolio-snapshots.ts';
import { dayText, daysOf } from '../ledger/days.ts';
import { valuationOf, priceGiven } from './valuation.ts';
import type { QuoteReading } from '../../../domain/cached-quote.ts';
import type { Clock } from '../../../platform/concurrency/clock.ts';
import { heldOf, maxWanted } from './valuation-service.ts';

/** Missing quotes of a snapshot. */
export interface WantedQuotes {
  readonly currency: string;
  readonly assetIds: readonly string[];
  /** Who is charged (src/domain/requester.ts). */
  readonly requester: string;
}

/** A day that ended longer ago (s) is skipped: its value comes from price history, not from later quotes. */
const withinSeconds = 3_600;
const pageSize = 250;
const maxPages = 20;
/** A quote older than this (ms) is not used for a snapshot. */
const oldestQuoteMs = 86_400_000;
/** Age (s) from which a snapshot of a change is deleted. */
const keepChangesSeconds = 30 * 86_400;
const maxPurged = 50_000;

/** Builds the snapshot taker of a worker. */
export function createSnapshotTaker(deps: {
  readonly portfolios: Pick<BookReading, 'find' | 'ended'>;
  readonly snapshots: Pick<PortfolioSnapshots, 'store' | 'purge'>;
  /** Cached quotes, of any age. */
  readonly cached: (
    currency: string,
    assetIds: readonly string[],
  ) => Promise<ReadonlyMap<string, QuoteReading>>;
  /** Requests quotes with the lowest urgency. Returns the number of assets that are being fetched now. */
  readonly want: (wanted: WantedQuotes) => Promise<number>;
  readonly clock: Clock;
}) {
  return {
    /**
     * Takes a snapshot after a change of transactions. `wanting`: some quotes have been requested, so take it again soon; only
     * returned when `mayWait`. `none`: there is no such portfolio, or its books are not current.
     */
    async ofChange(portfolioId: string, mayWait: boolean): Promise<'stored' | 'wanting' | 'none'> {
      const booked = await deps.portfolios.find(portfolioId);
      if (booked === undefined || booked.portfolio.bookedVersion !== booked.portfolio.booksVersion)
        return 'none';
      const { baseCurrency: currency, timeZone, userId: requester } = booked.portfolio;
      const held = heldOf(booked);
      const quotes = await deps.cached(currency, held);
      const lacking = held.filter((id) => quotes.get(id)?.quote === undefined).slice(0, maxWanted);
      if (mayWait && lacking.length > 0) {
        const wanted = { currency, assetIds: lacking, requester };
        if ((await deps.want(wanted)) > 0) return 'wanting';
      }
      const now = deps.clock.now();
      const day = dayText(daysOf(timeZone)(now));
      await deps.snapshots.store([snapshotOf(booked, quotes, { kind: 'change', day, now })]);
      return 'stored';
    },
    /** Takes snapshots of all portfolios whose day has just ended, some thousand at most. Returns the number. */
    async ofEndedDays(): Promise<number> {
      let stored = 0;
      let after: string | undefined;
      for (let page = 0; page < maxPages; page++) {
        const ended = await deps.portfolios.ended({ withinSeconds, after, limit: pageSize });
        const now = deps.clock.now();
        const quotes = await quotesOfAll(deps, ended);
        await deps.snapshots.store(
          ended.map((each) => {
            const known = quotes.get(each.portfolio.baseCurrency) ?? noQuotes;
            return snapshotOf(each, known, { kind: 'daily', day: each.day, now });
          }),
        );
        stored += ended.length;
        after = ended.at(-1)?.portfolio.id;
        if (ended.length < pageSize) break;
      }
      return stored;
    },
    /** Deletes snapshots of changes that are past their retention. Returns the number. */
    purge: (): Promise<number> => deps.snapshots.purge(keepChangesSeconds, maxPurged),
  };
}

const noQuotes: ReadonlyMap<string, QuoteReading> = new Map();

/** Quotes by currency: each asset is read once, however many portfolios hold it. */
async function quotesOfAll(
  { cached }: Pick<Parameters<typeof createSnapshotTaker>[0], 'cached'>,
  portfolios: readonly BookedPortfolio[],
): Promise<ReadonlyMap<string, ReadonlyMap<string, QuoteReading>>> {
  const wanted = new Map<string, Set<string>>();
  for (const booked of portfolios) {
    const { baseCurrency } = booked.portfolio;
    const ids = wanted.get(baseCurrency) ?? new Set();
    for (const id of heldOf(booked)) ids.add(id);
    wanted.set(baseCurrency, ids);
  }
  const quotes = new Map<string, ReadonlyMap<string, QuoteReading>>();
  for (const [currency, ids] of wanted) quotes.set(currency, await cached(currency, [...ids]));
  return quotes;
}

function snapshotOf(
  { portfolio, assets }: BookedPortfolio,
  quotes: ReadonlyMap<string, QuoteReading>,
  { kind, day, now }: Pick<PortfolioSnapshot, 'kind' | 'day'> & { readonly now: number },
): PortfolioSnapshot {
  const { marketValue, costBasis, realised, missing } = valuationOf(assets, (assetId) => {
    const reading = quotes.get(assetId);
    const receivedAt = reading?.quote?.receivedAt ?? 0;
    return now - receivedAt > oldestQuoteMs ? undefined : priceGiven(reading);
  });
  return {
    portfolioId: portfolio.id,
    kind,
    at: new Date(now),
    day,
    currency: portfolio.baseCurrency,
    value: marketValue,
    costBasis,
    realised,
    missing,
    booksVersion: portfolio.booksVersion,
  };
}
