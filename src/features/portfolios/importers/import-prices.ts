/**
 * Prices that an import needs: stored daily closes of assets in the base currency of the portfolio, and of bitcoin in the
 * currencies in which a report states values. Two closes of bitcoin give the exchange rate of a day.
 */
import { mulDiv, type Amount } from '../ledger/amount.ts';
import { amountOfPrice, valueAt } from '../ledger/price.ts';
import type { CandleQueries, DailyCloses } from '../../history/queries/candles.ts';
import { dayText } from '../ledger/days.ts';
import type { FindMarketValues, MarketValue, MarketValueRequest } from '../valuation/market-values.ts';

const dayMs = 86_400_000;
/** Day of the first block of Bitcoin: there are no prices before it. */
const earliest = Date.UTC(2009, 0, 3);
/** An asset that has prices in every currency. */
const rateAsset = 'bitcoin';
/** Most series in memory (some 100 KB each at most): more than a page of rows can need. */
const maxSeries = 3_000;

/** The rates that were used to convert one currency. */
export interface ReportedRate {
  readonly from: string;
  readonly to: string;
  /** Number of days with a rate, and the first and the last of them (`2024-01-31`). */
  readonly days: number;
  readonly first_day: string;
  readonly last_day: string;
  /** The lowest and the highest value of one unit. */
  readonly lowest: number;
  readonly highest: number;
  readonly source: string;
}

/** Prices of one import. They must be prepared before they are read. */
export class ImportPrices {
  readonly #deps: ConstructorParameters<typeof ImportPrices>[0];
  /** By `<currency>:<asset>`; empty where nothing is stored. */
  readonly #series = new Map<string, DailyCloses>();
  #recent: MarketValue = () => null;
  readonly #used = new Map<string, { days: Set<number>; lowest: number; highest: number }>();

  constructor(deps: {
    readonly closes: CandleQueries['dailyCloses'];
    /** For the last 24 hours the cached quote is used, as with any transaction. */
    readonly findMarketValues: FindMarketValues;
    /** Base currency of the portfolio. */
    readonly base: string;
    /** Now (ms since the epoch). */
    readonly now: number;
  }) {
    this.#deps = deps;
  }

  /** Loads the prices that some rows need: values of assets at given times, and rates of currencies. */
  async prepare(worth: readonly MarketValueRequest[], currencies: Iterable<string>): Promise<void> {
    const { base, findMarketValues } = this.#deps;
    const recent = worth.filter(({ at }) => this.#isRecent(at));
    this.#recent = recent.length === 0 ? () => null : await findMarketValues(base, recent);
    const assets = worth.filter(({ at }) => !this.#isRecent(at)).map(({ asset }) => asset);
    const foreign = [...currencies].filter((currency) => currency !== base);
    await this.#read(base, foreign.length === 0 ? assets : [...assets, rateAsset]);
    for (const currency of foreign) await this.#read(currency, [rateAsset]);
  }

  /** Value of a quantity at the close of its UTC day; null when none is stored. */
  worth(asset: string, quantity: Amount, at: number): Amount | null {
    if (this.#isRecent(at)) return this.#recent({ asset, quantity }, at);
    const close = this.#close(this.#deps.base, asset, at);
    return close === undefined ? null : valueAt(quantity, close);
  }

  /** An amount of a currency converted to the base currency, at the rate of the UTC day; null when there is none. */
  converted(amount: Amount, currency: string, at: number): Amount | null {
    const { base } = this.#deps;
    if (currency === base) return amount;
    const [own, theirs] = [this.#close(base, rateAsset, at), this.#close(currency, rateAsset, at)];
    if (own === undefined || theirs === undefined) return null;
    this.#note(currency, at, own / theirs);
    const divisor = amountOfPrice(theirs);
    return divisor === 0n ? null : mulDiv(amount, amountOfPrice(own), divisor);
  }

  /** The rates that were used. */
  rates(): readonly ReportedRate[] {
    return [...this.#used].map(([currency, { days, lowest, highest }]) => ({
      from: currency,
      to: this.#deps.base,
      days: days.size,
      first_day: dayText(Math.min(...days)),
      last_day: dayText(Math.max(...days)),
      lowest,
      highest,
      source: `daily closes of ${rateAsset} in ${this.#deps.base} divided by those in ${currency}, of UTC days`,
    }));
  }

  #isRecent(at: number): boolean {
    return at > this.#deps.now - dayMs;
  }

  #note(currency: string, at: number, rate: number): void {
    const day = Math.floor(at / dayMs);
    const used = this.#used.get(currency);
    if (used === undefined) this.#used.set(currency, { days: new Set([day]), lowest: rate, highest: rate });
    else {
      used.days.add(day);
      used.lowest = Math.min(used.lowest, rate);
      used.highest = Math.max(used.highest, rate);
    }
  }

  async #read(currency: string, assets: readonly string[]): Promise<void> {
    const missing = [...new Set(assets)].filter((asset) => !this.#series.has(`${currency}:${asset}`));
    if (missing.length === 0) return;
    if (this.#series.size + missing.length > maxSeries) this.#series.clear();
    const { closes, now } = this.#deps;
    const found = await closes({ assetIds: missing, currency, from: earliest, to: now });
    for (const asset of missing)
      this.#series.set(`${currency}:${asset}`, found.get(asset) ?? { days: [], closes: [] });
  }

  #close(currency: string, asset: string, at: number): number | undefined {
    const series = this.#series.get(`${currency}:${asset}`);
    if (series === undefined) return undefined;
    const day = Math.floor(at / dayMs) * dayMs;
    const place = placeOf(series.days, day);
    const close = series.days[place] === day ? series.closes[place] : undefined;
    return close !== undefined && Number.isFinite(close) && close > 0 ? close : undefined;
  }
}

/** Index of the first day that is not before `day`. */
function placeOf(days: readonly number[], day: number): number {
  let [low, high] = [0, days.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((days[middle] ?? 0) < day) low = middle + 1;
    else high = middle;
  }
  return low;
}
