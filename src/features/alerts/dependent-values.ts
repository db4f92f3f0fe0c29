/**
 * Values that need more than a quote: changes over a window and values of portfolios. A tick marks them; a look, once a second,
 * values those that are marked, a bounded number at a time.
 */
import type { AlertValueQueries } from './queries/alert-values.ts';
import { ChangeValues, type Valued } from './change-values.ts';
import { PortfolioValues } from './portfolio-values.ts';
import type { ReadQuote } from './seen.ts';
import type { Subject } from './subject.ts';

interface DependentDeps {
  readonly values: AlertValueQueries;
  readonly quoteOf: (currency: string, assetId: string) => ReadQuote | undefined;
  /** What a portfolio holds was read: it depends on these assets. Their quotes are to be there when it settles. */
  readonly onHoldings: (subject: Subject, assetIds: readonly string[]) => void;
  readonly loadQuotes: () => Promise<void>;
  readonly onValued: (subject: Subject, valued: Valued) => void;
}

/** A portfolio is valued at most this often (ms), */
const portfolioEveryMs = 2_000;
/** and no more of them in one look. */
const portfoliosPerLook = 500;
const changesPerLook = 2_000;
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
  mark(subject: Subject): void {
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
   * Values what is marked.
   * @throws {Error} Postgres or the cache does not answer; what could not be valued stays marked.
   */
  async look(now: number): Promise<void> {
    await this.#lookAtChanges(now);
    await this.#lookAtPortfolios(now);
  }

  async #lookAtChanges(now: number): Promise<void> {
    const due = firstOf(this.#dirtyChanges, changesPerLook, () => true);
    if (due.length === 0) return;
    await this.#changes.prepare(due, now);
    for (const subject of due) {
      this.#dirtyChanges.delete(subject);
      const { currency, assetId } = subject.of;
      this.#tell(subject, this.#changes.valueOf(subject, this.#deps.quoteOf(currency, assetId ?? '')));
    }
  }

  async #lookAtPortfolios(now: number): Promise<void> {
    const { onHoldings, loadQuotes, quoteOf } = this.#deps;
    this.#markAll(now);
    const due = firstOf(this.#dirtyPortfolios, portfoliosPerLook, (subject) => this.#isDue(subject, now));
    if (due.length === 0) return;
    const read = await this.#portfolios.prepare(due, now);
    for (const subject of read) if (subject.size > 0) onHoldings(subject, this.#portfolios.assetsOf(subject));
    // Assets that have just been met are looked for before they seem to be missing.
    await loadQuotes();
    for (const subject of due) {
      const valued = this.#portfolios.valueOf(subject, (id) => quoteOf(subject.of.currency, id), now);
      const subjects = this.#byPortfolio.get(subject.of.portfolioId ?? '');
      if (subjects?.has(subject) === true) subjects.set(subject, now);
      // Books that are behind are looked at until they are not.
      const isBehind = 'reason' in valued && valued.reason === 'books_behind';
      if (!isBehind) this.#dirtyPortfolios.delete(subject);
      this.#tell(subject, valued);
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

  /** One that has lost its last alert meanwhile is nobody's. */
  #tell(subject: Subject, valued: Valued): void {
    if (subject.size > 0) this.#deps.onValued(subject, valued);
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
