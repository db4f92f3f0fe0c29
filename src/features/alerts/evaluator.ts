/**
 * Evaluates all alerts of the deployment in this process. Any number of processes may do so at once: a move is stored under the
 * version it starts from, so that one of them makes it.
 *
 * Prices are compared as their ticks arrive. Changes over a window and values of portfolios need more than a quote: a tick marks
 * them, and a look every second values those that are marked. Ticks may be missed; at the begin and after every gap the quotes
 * of all watched assets are looked at.
 */
import type { AlertMoveQueries, Moved } from './queries/alert-transitions.ts';
import type { AlertValueQueries } from './queries/alert-values.ts';
import type { AlertWatchQueries, FoundAlert } from './queries/alert-watch.ts';
import type { WantRequest } from '../quotes/demand/demand.ts';
import { WatchList } from '../quotes/demand/watch-list.ts';
import type { CachedQuote } from '../../domain/cached-quote.ts';
import type { AlertNews } from './alert-channel.ts';
import type { BookNews } from '../portfolios/book-channel.ts';
import type { Tick, TickSubscriber } from '../quotes/ticks.ts';
import type { Clock } from '../../platform/concurrency/clock.ts';
import { messageOf } from '../../domain/errors.ts';
import type { Logger } from '../../platform/observability/logger.ts';
import { AlertIndex } from './alert-index.ts';
import { AlertSync } from './alert-sync.ts';
import { AssetWatch, type AlertQuotes } from './asset-watch.ts';
import type { Valued } from './change-values.ts';
import { DependentValues } from './dependent-values.ts';
import { Mover } from './state-transition.ts';
import { readQuote, seenPrice, type ReadQuote, type Seen } from './seen.ts';
import { subjectKeyOf, type Begun, type Subject } from './subject.ts';

export interface EvaluatorDeps {
  readonly watch: AlertWatchQueries;
  readonly moves: AlertMoveQueries;
  readonly values: AlertValueQueries;
  readonly news: AlertNews;
  readonly bookNews: Pick<BookNews, 'listen'>;
  readonly ticks: TickSubscriber;
  readonly quotes: AlertQuotes;
  readonly want: (request: WantRequest) => Promise<unknown>;
  /** Has webhooks attempted. Never rejects. */
  readonly kickDeliveries: (ids: readonly string[]) => Promise<void>;
  readonly clock: Clock;
  readonly log: Logger;
  readonly freshMs: number;
  /** Age (ms) from which a watched quote is wanted again. */
  readonly renewAfterMs: number;
  /** Time (ms) between two looks for alerts that have changed. Default 10 s. */
  readonly syncEveryMs?: number;
  /** Alerts that one process watches. Default 200,000. */
  readonly limit?: number;
}

/** The running evaluation of alerts. */
export interface AlertEvaluator {
  /** Number of alerts. */
  size(): number;
  /** Whether all alerts have been read once. */
  isLoaded(): boolean;
  close(): Promise<void>;
}

const lookMs = 1_000;
const syncMs = 10_000;
const mostAlerts = 200_000;
const tidyEveryMs = 600_000;
/** Firings are kept for 90 days (s). */
export const firingsKeptSeconds = 90 * 86_400;
const marksPerStatement = 1_000;

/** Begins to evaluate; nothing is waited for. */
export function startEvaluator(deps: EvaluatorDeps): AlertEvaluator {
  return new Evaluator(deps);
}

class Evaluator implements AlertEvaluator {
  readonly #deps: EvaluatorDeps;
  readonly #index: AlertIndex;
  readonly #assets: AssetWatch;
  readonly #watchList: WatchList;
  readonly #dependents: DependentValues;
  readonly #mover: Mover;
  readonly #sync: AlertSync;
  /** Subjects whose alerts do not say yet why they are not evaluated, or that they are. */
  readonly #toMark = new Set<Subject>();
  readonly #stops: (() => void)[];
  #looking: Promise<void> | undefined;
  #tidyDueAt: number;
  #isTold = false;
  #isFailing = false;

  constructor(deps: EvaluatorDeps) {
    this.#deps = deps;
    const { watch, moves, values, news, bookNews, ticks, clock, log } = deps;
    this.#tidyDueAt = clock.now() + tidyEveryMs * Math.random();
    this.#index = new AlertIndex({
      limit: deps.limit ?? mostAlerts,
      onBegin: (subject) => this.#begin(subject),
      onEnd: (subject) => this.#end(subject),
    });
    this.#watchList = new WatchList({
      ...deps,
      receivedAt: (currency, assetId) => deps.quotes.get(currency, assetId)?.receivedAt,
      onStale: () => undefined,
    });
    this.#assets = new AssetWatch({ quotes: deps.quotes, watchList: this.#watchList });
    this.#dependents = new DependentValues({
      values,
      quoteOf: (currency, assetId) => this.#quote(currency, assetId),
      onHoldings: (subject, assetIds) => this.#assets.set(subject, assetIds),
      loadQuotes: () => this.#assets.load((quote) => this.#onQuote(quote)),
      onValued: (subject, valued) => this.#value(subject, valued),
    });
    this.#mover = new Mover({
      moves,
      watch,
      log,
      onSettled: (begun, found, isMoved) => this.#settle(begun, found, isMoved),
      onMoved: (moved) => this.#tell(moved),
    });
    this.#sync = new AlertSync({
      watch,
      news,
      log,
      lookEveryMs: deps.syncEveryMs ?? syncMs,
      onFound: (found) => this.#find(found),
      onRead: () => this.#look(),
    });
    const timer = setInterval(() => this.#look(), lookMs);
    timer.unref();
    this.#stops = [
      () => clearInterval(timer),
      ticks.listen({ onTick: (tick) => this.#onTick(tick), onGap: () => this.#assets.wantAll() }),
      bookNews.listen((portfolioId) => this.#dependents.onBooked(portfolioId)),
    ];
  }

  size(): number {
    return this.#index.size;
  }

  isLoaded(): boolean {
    return this.#sync.isLoaded;
  }

  async close(): Promise<void> {
    for (const stop of this.#stops) stop();
    await this.#sync.close();
    await this.#looking;
    await this.#mover.close();
  }

  #find({ alert, isDeleted }: FoundAlert): void {
    if (isDeleted) {
      this.#index.remove(alert.id);
      return;
    }
    const subject = this.#index.put(alert);
    if (subject !== undefined) this.#regard(subject);
    else if (this.#index.isFull && !this.#isTold) {
      this.#isTold = true;
      this.#deps.log.error({ alerts: this.#index.size }, 'there are more alerts than one process can watch');
    }
  }

  #begin(subject: Subject): void {
    const { assetId } = subject.of;
    if (assetId !== null) this.#assets.set(subject, [assetId]);
  }

  #end(subject: Subject): void {
    this.#assets.set(subject, []);
    this.#dependents.forget(subject);
    this.#toMark.delete(subject);
  }

  /** Looks at a subject as things are. */
  #regard(subject: Subject): void {
    const { kind, assetId, currency } = subject.of;
    this.#toMark.add(subject);
    if (kind !== 'price' || assetId === null) {
      this.#dependents.mark(subject);
      return;
    }
    const quote = this.#quote(currency, assetId);
    if (quote === undefined) this.#assets.want(currency, assetId);
    else this.#see(subject, seenPrice(quote));
  }

  #onTick({ currency, quotes, failures }: Tick): void {
    for (const quote of quotes) this.#onQuote(quote);
    for (const { assetId } of failures) {
      if (this.#deps.quotes.get(currency, assetId) !== undefined) continue;
      for (const subject of this.#assets.subjectsOf(currency, assetId)) {
        if (subject.of.kind === 'price') this.#judge(subject, 'no_quote');
        else this.#dependents.mark(subject);
      }
    }
  }

  #onQuote(cached: CachedQuote): void {
    const { currency, assetId } = cached;
    let seen: Seen | undefined;
    for (const subject of this.#assets.subjectsOf(currency, assetId)) {
      if (subject.of.kind !== 'price') {
        this.#dependents.mark(subject);
        continue;
      }
      seen ??= seenPrice(readQuote(cached, this.#deps.clock.now(), this.#deps.freshMs));
      this.#judge(subject, null);
      this.#see(subject, seen);
    }
  }

  #see(subject: Subject, seen: Seen): void {
    this.#mover.add(subject.see(seen));
  }

  #judge(subject: Subject, reason: Parameters<Subject['judge']>[0]): void {
    if (subject.judge(reason)) this.#toMark.add(subject);
  }

  #quote(currency: string, assetId: string): ReadQuote | undefined {
    const cached = this.#deps.quotes.get(currency, assetId);
    return cached && readQuote(cached, this.#deps.clock.now(), this.#deps.freshMs);
  }

  #settle(begun: Begun, found: FoundAlert | undefined, isMoved: boolean): void {
    const { subject, alert } = begun;
    if (found === undefined || found.isDeleted) {
      this.#index.remove(alert.id);
      return;
    }
    // Refused without a change: looking at it again would refuse it again.
    const again = !isMoved && found.alert.version !== alert.version;
    if (subjectKeyOf(found.alert) === subject.key) {
      const next = subject.settle(begun, found.alert, again);
      if (next !== undefined) {
        this.#mover.add([next]);
        return;
      }
    }
    // Deleted meanwhile: what was read before that is of no use.
    if (!this.#index.has(alert.id)) return;
    const changed = this.#index.put(found.alert);
    if (changed !== undefined) this.#regard(changed);
  }

  async #tell({ firedUserIds, deliveryIds }: Moved): Promise<void> {
    const { news, kickDeliveries, log } = this.#deps;
    if (deliveryIds.length > 0) await kickDeliveries(deliveryIds);
    if (firedUserIds.length === 0) return;
    await news.fired(firedUserIds).catch((error: unknown) => {
      log.debug({ reason: messageOf(error) }, 'what has fired could not be announced');
    });
  }

  #look(): void {
    this.#watchList.look();
    this.#looking ??= this.#lookNow().finally(() => (this.#looking = undefined));
  }

  async #lookNow(): Promise<void> {
    const now = this.#deps.clock.now();
    try {
      await this.#assets.load((quote) => this.#onQuote(quote));
      await this.#dependents.look(now);
      for (const subject of this.#toMark) await this.#mark(subject);
      if (now >= this.#tidyDueAt) {
        this.#tidyDueAt = now + tidyEveryMs;
        await this.#deps.watch.tidy(firingsKeptSeconds);
      }
      this.#isFailing = false;
    } catch (error) {
      if (!this.#isFailing)
        this.#deps.log.warn({ reason: messageOf(error) }, 'changes and portfolios cannot be evaluated');
      this.#isFailing = true;
    }
  }

  #value(subject: Subject, valued: Valued): void {
    this.#judge(subject, 'reason' in valued ? valued.reason : null);
    if ('seen' in valued) this.#see(subject, valued.seen);
  }

  async #mark(subject: Subject): Promise<void> {
    const unmarked = subject.unmarked();
    if (unmarked !== undefined) {
      const { ids, reason } = unmarked;
      for (let from = 0; from < ids.length; from += marksPerStatement)
        await this.#deps.watch.mark(ids.slice(from, from + marksPerStatement), reason);
      subject.marked(ids, reason);
    }
    this.#toMark.delete(subject);
  }
}
