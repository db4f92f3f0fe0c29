/**
 * Values that need more than one quote: changes over a window and portfolio values. A tick marks them; once a second the marked
 * ones are evaluated, a limited number at a time.
 */
import type { AlertValueQueries, HeldInPortfolio, ReferencePrice } from './queries/alert-values.ts';
import { amountOf, formatAmount, type Amount } from '../portfolios/ledger/amount.ts';
import { valueAt } from '../portfolios/ledger/price.ts';
import type { AlertSubject, NotEvaluated } from './alert.ts';
import {
  levelOf,
  percentChange,
  textOfLevel,
  textOfPrice,
  type AlertQuote,
  type Observation,
} from './crossing.ts';
import type { Subject } from './subject.ts';

interface DependentDeps {
  readonly values: AlertValueQueries;
  readonly quoteOf: (currency: string, assetId: string) => AlertQuote | undefined;
  /** Called when the holdings of a portfolio were read: its value depends on these assets from now on. */
  readonly onHoldings: (subject: Subject, assetIds: readonly string[]) => void;
  /** Loads the quotes of newly added assets; they are available when it resolves. */
  readonly loadQuotes: () => Promise<void>;
  readonly onValued: (subject: Subject, result: ValueResult) => void;
}

/** Shortest time (ms) between two valuations of a portfolio. */
const portfolioEveryMs = 2_000;
/** Most portfolios valued by one poll. */
const portfoliosPerPoll = 500;
/** Most changes over a window evaluated by one poll. */
const changesPerPoll = 2_000;
/** All portfolios are valued this often (ms), should nothing mark them. */
const portfoliosAgainMs = 60_000;

export class DependentValues {
  readonly #deps: DependentDeps;
  readonly #changes: ChangeValues;
  readonly #portfolios: PortfolioValues;
  readonly #dirtyChanges = new Set<Subject>();
  readonly #dirtyPortfolios = new Set<Subject>();
  /** Subjects by portfolio, and when each was valued last (ms since the epoch). */
  readonly #byPortfolio = new Map<string, Map<Subject, number>>();
  #againAt = 0;

  constructor(deps: DependentDeps) {
    this.#deps = deps;
    this.#changes = new ChangeValues(deps.values);
    this.#portfolios = new PortfolioValues(deps.values);
  }

  /** The value may have changed. */
  markDirty(subject: Subject): void {
    const { kind, portfolioId } = subject.of;
    if (kind === 'change') this.#dirtyChanges.add(subject);
    if (portfolioId === null) return;
    this.#dirtyPortfolios.add(subject);
    const subjects = this.#byPortfolio.get(portfolioId) ?? new Map<Subject, number>();
    this.#byPortfolio.set(portfolioId, subjects);
    if (!subjects.has(subject)) subjects.set(subject, 0);
  }

  /** Nobody watches it any more. */
  forget(subject: Subject): void {
    this.#dirtyChanges.delete(subject);
    this.#dirtyPortfolios.delete(subject);
    this.#changes.forget(subject);
    const { portfolioId } = subject.of;
    if (portfolioId === null) return;
    const subjects = this.#byPortfolio.get(portfolioId);
    subjects?.delete(subject);
    if (subjects?.size !== 0) return;
    this.#byPortfolio.delete(portfolioId);
    this.#portfolios.forget(portfolioId);
  }

  /** The books of a portfolio have changed. */
  onBooked(portfolioId: string): void {
    this.#portfolios.forget(portfolioId);
    for (const subject of this.#byPortfolio.get(portfolioId)?.keys() ?? [])
      this.#dirtyPortfolios.add(subject);
  }

  /**
   * Evaluates what is marked.
   * @throws {Error} Postgres or the cache does not answer; what could not be evaluated stays marked.
   */
  async poll(now: number): Promise<void> {
    await this.#lookAtChanges(now);
    await this.#lookAtPortfolios(now);
  }

  async #lookAtChanges(now: number): Promise<void> {
    const due = firstOf(this.#dirtyChanges, changesPerPoll, () => true);
    if (due.length === 0) return;
    await this.#changes.prepare(due, now);
    for (const subject of due) {
      this.#dirtyChanges.delete(subject);
      const { currency, assetId } = subject.of;
      this.#report(subject, this.#changes.valueOf(subject, this.#deps.quoteOf(currency, assetId ?? '')));
    }
  }

  async #lookAtPortfolios(now: number): Promise<void> {
    const { onHoldings, loadQuotes, quoteOf } = this.#deps;
    this.#markAll(now);
    const due = firstOf(this.#dirtyPortfolios, portfoliosPerPoll, (subject) => this.#isDue(subject, now));
    if (due.length === 0) return;
    const read = await this.#portfolios.prepare(due, now);
    for (const subject of read) if (subject.size > 0) onHoldings(subject, this.#portfolios.assetsOf(subject));
    // Newly found assets are loaded first, so that they do not seem to be missing.
    await loadQuotes();
    for (const subject of due) {
      const result = this.#portfolios.valueOf(subject, (id) => quoteOf(subject.of.currency, id), now);
      const subjects = this.#byPortfolio.get(subject.of.portfolioId ?? '');
      if (subjects?.has(subject) === true) subjects.set(subject, now);
      // Portfolios whose books are behind are checked until they are current.
      const isBehind = 'reason' in result && result.reason === 'books_behind';
      if (!isBehind) this.#dirtyPortfolios.delete(subject);
      this.#report(subject, result);
    }
  }

  #isDue(subject: Subject, now: number): boolean {
    const valuedAt = this.#byPortfolio.get(subject.of.portfolioId ?? '')?.get(subject) ?? 0;
    return now - valuedAt >= portfolioEveryMs;
  }

  #markAll(now: number): void {
    if (now < this.#againAt) return;
    this.#againAt = now + portfoliosAgainMs;
    for (const subjects of this.#byPortfolio.values())
      for (const subject of subjects.keys()) this.#dirtyPortfolios.add(subject);
  }

  /** Skips a subject that has lost its last alert meanwhile. */
  #report(subject: Subject, result: ValueResult): void {
    if (subject.size > 0) this.#deps.onValued(subject, result);
  }
}

function firstOf(
  subjects: ReadonlySet<Subject>,
  limit: number,
  isDue: (subject: Subject) => boolean,
): readonly Subject[] {
  const taken: Subject[] = [];
  for (const subject of subjects) {
    if (taken.length >= limit) break;
    if (isDue(subject)) taken.push(subject);
  }
  return taken;
}

/** The present value, or why it is unavailable. */
export type ValueResult = { readonly observation: Observation } | { readonly reason: NotEvaluated };

const referenceHeldMs = 60_000;
/** References per statement. */
const referencesPerRead = 500;
/**
 * There is no reference if nothing was observed within this time (ms), or this share of the window, before the start of the
 * window.
 */
const minToleranceMs = 900_000;
const toleranceShare = 0.1;
/** Digits after the decimal point of a reported change. */
const reportedDigits = 18;

/**
 * Changes over a window, in per cent: the price now against the last one observed at its start. Past prices come from stored
 * candles and are read once a minute for each asset and window.
 */
class ChangeValues {
  readonly #queries: Pick<AlertValueQueries, 'references'>;
  readonly #held = new Map<
    string,
    { readonly requestedAt: number; readonly reference: ReferencePrice | undefined }
  >();

  constructor(queries: Pick<AlertValueQueries, 'references'>) {
    this.#queries = queries;
  }

  /** Called when nobody watches it any more. */
  forget(subject: Subject): void {
    this.#held.delete(subject.key);
  }

  /**
   * Loads the references.
   * @throws {UnavailableError} Postgres does not answer.
   */
  async prepare(subjects: readonly Subject[], now: number): Promise<void> {
    const due = subjects.filter(
      ({ key }) => now - (this.#held.get(key)?.requestedAt ?? 0) >= referenceHeldMs,
    );
    for (let from = 0; from < due.length; from += referencesPerRead) {
      const part = due.slice(from, from + referencesPerRead);
      const found = await this.#queries.references(part.map(({ of }) => referenceRequestOf(of, now)));
      for (const [index, { key }] of part.entries())
        this.#held.set(key, { requestedAt: now, reference: found[index] });
    }
  }

  /** The change now. */
  valueOf({ key }: Subject, quote: AlertQuote | undefined): ValueResult {
    if (quote === undefined) return { reason: 'no_quote' };
    const reference = this.#held.get(key)?.reference;
    if (reference === undefined) return { reason: 'no_reference' };
    const { price, ...reported } = quote;
    const before = textOfPrice(reference.price);
    const value = percentChange(levelOf(textOfPrice(price)), levelOf(before));
    if (value === undefined) return { reason: 'no_reference' };
    return {
      observation: {
        value,
        text: textOfLevel(value, reportedDigits),
        at: reported.receivedAt,
        isFresh: reported.state === 'fresh',
        quote: reported,
        reference: { price: before, at: new Date(reference.at).toISOString() },
      },
    };
  }
}

function referenceRequestOf(of: AlertSubject, now: number) {
  const windowMs = (of.windowSeconds ?? 0) * 1000;
  const at = now - windowMs;
  const from = at - Math.max(minToleranceMs, windowMs * toleranceShare);
  return { assetId: of.assetId ?? '', currency: of.currency, at, from };
}

/** Holdings are read again after this time (ms), in case the notification of a change was lost. */
const holdingsHeldMs = 10_000;
/** Portfolios per statement. */
const portfoliosPerRead = 200;
/** Most assets of a portfolio that alerts can watch. */
const maxAssets = 1_000;

/**
 * Values of portfolios, as `/portfolios/:id/valuation` computes them: the holdings in the books, at the quotes of this process.
 * If an asset has no quote there is no value at all, because a total without it would look like a fall.
 */
class PortfolioValues {
  readonly #queries: Pick<AlertValueQueries, 'holdings'>;
  readonly #held = new Map<string, ReturnType<typeof heldOf>>();

  constructor(queries: Pick<AlertValueQueries, 'holdings'>) {
    this.#queries = queries;
  }

  /** Called when its books have changed, or nobody watches it any more. */
  forget(portfolioId: string): void {
    this.#held.delete(portfolioId);
  }

  /**
   * Loads the holdings. Returns the subjects whose holdings were read just now.
   * @throws {UnavailableError} Postgres does not answer.
   */
  async prepare(subjects: readonly Subject[], now: number): Promise<readonly Subject[]> {
    const due = subjects.filter(({ of }) => this.#isDue(of.portfolioId ?? '', now));
    for (let from = 0; from < due.length; from += portfoliosPerRead) {
      const ids = due.slice(from, from + portfoliosPerRead).map(({ of }) => of.portfolioId ?? '');
      const found = await this.#queries.holdings(ids, maxAssets);
      for (const id of ids) this.#held.set(id, heldOf(found.get(id), now));
    }
    return due;
  }

  /** The assets held, up to the number that can be watched. */
  assetsOf({ of }: Subject): readonly string[] {
    const holdings = this.#held.get(of.portfolioId ?? '')?.holdings ?? [];
    return holdings.length > maxAssets ? [] : holdings.map(({ assetId }) => assetId);
  }

  /** The value now. */
  valueOf({ of }: Subject, quoteOf: (assetId: string) => AlertQuote | undefined, now: number): ValueResult {
    const held = this.#held.get(of.portfolioId ?? '');
    // Deleted: its alerts are about to be purged and have no reason of their own.
    if (held?.portfolio === undefined) return { reason: 'books_behind' };
    if (held.portfolio.baseCurrency !== of.currency) return { reason: 'currency_changed' };
    if (!held.portfolio.isBooked) return { reason: 'books_behind' };
    if (held.holdings.length > maxAssets) return { reason: 'too_large' };
    const parts = held.holdings.map(({ assetId, quantity }) => ({ quantity, quote: quoteOf(assetId) }));
    const quotes = parts.flatMap(({ quote }) => quote ?? []);
    if (quotes.length < parts.length) return { reason: 'incomplete' };
    const total = parts.reduce(
      (sum, { quantity, quote }) => sum + (quote === undefined ? 0n : valueAt(quantity, quote.price)),
      0n,
    );
    return { observation: seenTotal(total, quotes, now) };
  }

  /** Portfolios whose books are behind are read again at once. */
  #isDue(portfolioId: string, now: number): boolean {
    const held = this.#held.get(portfolioId);
    return (
      held === undefined || now - held.requestedAt >= holdingsHeldMs || held.portfolio?.isBooked === false
    );
  }
}

function heldOf(portfolio: HeldInPortfolio | undefined, now: number) {
  const holdings = (portfolio?.holdings ?? []).map(({ assetId, quantity }) => ({
    assetId,
    quantity: amountOf(quantity),
  }));
  return { requestedAt: now, portfolio, holdings };
}

/** Combines the oldest observation and the newest receipt. An empty portfolio has the value 0 at the present time. */
function seenTotal(total: Amount, quotes: readonly AlertQuote[], now: number) {
  const text = formatAmount(total);
  const receivedAt = quotes.reduce((newest, quote) => Math.max(newest, quote.receivedAt), 0) || now;
  const isFresh = quotes.every(({ state }) => state === 'fresh');
  const observed = quotes.flatMap(({ asOf }) => asOf ?? []).sort((a, b) => Date.parse(a) - Date.parse(b));
  const sources = [...new Set(quotes.map(({ source }) => source))].sort();
  const state = isFresh ? ('fresh' as const) : ('stale' as const);
  const quote = { asOf: observed[0] ?? null, receivedAt, source: sources.join(','), state };
  return { value: levelOf(text), text, at: receivedAt, isFresh, quote };
}
