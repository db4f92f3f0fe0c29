/**
 * Evaluates all alerts of the deployment in this process. Any number of processes may do so at once: a state transition is
 * stored only if the alert still has the version it was computed from, so exactly one process makes it.
 *
 * Prices are compared as their ticks arrive. Changes over a window and portfolio values need more than one quote: a tick marks
 * them, and once a second the marked ones are evaluated. Ticks may be missed; at the start and after every gap the quotes of
 * all watched assets are checked.
 */
import type { AlertTransitionQueries, StoredTransitions } from './queries/alert-transitions.ts';
import type { AlertValueQueries } from './queries/alert-values.ts';
import type { AlertWatchQueries, FoundAlert } from './queries/alert-watch.ts';
import type { WantRequest } from '../quotes/demand/demand.ts';
import { WatchList } from '../quotes/demand/watch-list.ts';
import type { CachedQuote } from '../../domain/cached-quote.ts';
import type { AlertChannel } from './alert-channel.ts';
import type { BookChannel } from '../portfolios/book-channel.ts';
import type { Tick, TickSubscriber } from '../quotes/ticks.ts';
import type { Clock } from '../../platform/concurrency/clock.ts';
import { messageOf } from '../../domain/errors.ts';
import type { Logger } from '../../platform/observability/logger.ts';
import { firingsKeptSeconds } from './alert.ts';
import { AlertSync } from './alert-sync.ts';
import { alertQuoteOf, priceObservation, type AlertQuote, type Observation } from './crossing.ts';
import { DependentValues, type ValueResult } from './dependent-values.ts';
import { AlertTransitionWriter } from './alert-transition-writer.ts';
import { AlertIndex, subjectKeyOf, type StartedTransition, type Subject } from './subject.ts';

export interface EvaluatorDeps {
  readonly watch: AlertWatchQueries;
  readonly transitionQueries: AlertTransitionQueries;
  readonly values: AlertValueQueries;
  readonly channel: AlertChannel;
  readonly bookChannel: Pick<BookChannel, 'listen'>;
  readonly ticks: TickSubscriber;
  /** The quotes that this process has. `load` reads others from the fleet's cache, and rejects when that does not answer. */
  readonly quotes: {
    readonly get: (currency: string, assetId: string) => CachedQuote | undefined;
    readonly load: (currency: string, assetIds: readonly string[]) => Promise<void>;
  };
  readonly want: (request: WantRequest) => Promise<unknown>;
  /** Requests attempts to deliver webhooks. Never rejects. */
  readonly enqueueDeliveries: (ids: readonly string[]) => Promise<void>;
  readonly clock: Clock;
  readonly log: Logger;
  readonly freshMs: number;
  /** Age (ms) at which a watched quote is requested again. */
  readonly renewAfterMs: number;
  /** Time (ms) between two polls for changed alerts. Default 10 s. */
  readonly syncEveryMs?: number;
  /** Alerts that one process watches. Default 200,000. */
  readonly limit?: number;
}

const pollIntervalMs = 1_000;
const syncMs = 10_000;
const maxAlerts = 200_000;
const purgeEveryMs = 600_000;
const reasonsPerStatement = 1_000;

/** The running evaluation of alerts. It starts at once, in the background. */
export class AlertEvaluator {
  readonly #deps: EvaluatorDeps;
  readonly #index: AlertIndex;
  readonly #assets: AssetWatch;
  readonly #watchList: WatchList;
  readonly #dependents: DependentValues;
  readonly #transitions: AlertTransitionWriter;
  readonly #sync: AlertSync;
  /** Subjects whose alerts do not yet store the present reason for not being evaluated (or its absence). */
  readonly #withNewReason = new Set<Subject>();
  readonly #stops: (() => void)[];
  #polling: Promise<void> | undefined;
  #purgeDueAt: number;
  #hasReportedFull = false;
  #isFailing = false;

  constructor(deps: EvaluatorDeps) {
    this.#deps = deps;
    const { watch, transitionQueries, values, channel, bookChannel, ticks, clock, log } = deps;
    this.#purgeDueAt = clock.now() + purgeEveryMs * Math.random();
    this.#index = new AlertIndex({
      limit: deps.limit ?? maxAlerts,
      onStart: (subject) => this.#begin(subject),
      onEnd: (subject) => this.#end(subject),
    });
    this.#watchList = new WatchList({
      ...deps,
      receivedAt: (currency, assetId) => deps.quotes.get(currency, assetId)?.receivedAt,
      onStale: () => undefined,
    });
    this.#assets = new AssetWatch(deps.quotes, this.#watchList);
    this.#dependents = new DependentValues({
      values,
      quoteOf: (currency, assetId) => this.#quote(currency, assetId),
      onHoldings: (subject, assetIds) => this.#assets.set(subject, assetIds),
      loadQuotes: () => this.#assets.load((quote) => this.#onQuote(quote)),
      onValued: (subject, result) => this.#value(subject, result),
    });
    this.#transitions = new AlertTransitionWriter({
      transitionQueries,
      watch,
      log,
      onSettled: (started, found, isStored) => this.#settle(started, found, isStored),
      onStored: (moved) => this.#announce(moved),
    });
    this.#sync = new AlertSync({
      watch,
      channel,
      log,
      pollIntervalMs: deps.syncEveryMs ?? syncMs,
      onFound: (found) => this.#onFound(found),
      onRead: () => this.#poll(),
    });
    const timer = setInterval(() => this.#poll(), pollIntervalMs);
    timer.unref();
    this.#stops = [
      () => clearInterval(timer),
      ticks.listen({ onTick: (tick) => this.#onTick(tick), onGap: () => this.#assets.queueLoadAll() }),
      bookChannel.listen((portfolioId) => this.#dependents.onBooked(portfolioId)),
    ];
  }

  /** Number of alerts. */
  size(): number {
    return this.#index.size;
  }

  /** Whether all alerts have been read once. */
  isLoaded(): boolean {
    return this.#sync.isLoaded;
  }

  async close(): Promise<void> {
    for (const stop of this.#stops) stop();
    await this.#sync.close();
    await this.#polling;
    await this.#transitions.close();
  }

  #onFound({ alert, isDeleted }: FoundAlert): void {
    if (isDeleted) {
      this.#index.remove(alert.id);
      return;
    }
    const subject = this.#index.put(alert);
    if (subject !== undefined) this.#evaluate(subject);
    else if (this.#index.isFull && !this.#hasReportedFull) {
      this.#hasReportedFull = true;
      this.#deps.log.error(
        { alerts: this.#index.size },
        'too many active alerts for one process: those beyond the limit do not fire; delete or disable alerts, then restart the workers',
      );
    }
  }

  #begin(subject: Subject): void {
    const { assetId } = subject.of;
    if (assetId !== null) this.#assets.set(subject, [assetId]);
  }

  #end(subject: Subject): void {
    this.#assets.set(subject, []);
    this.#dependents.forget(subject);
    this.#withNewReason.delete(subject);
  }

  /** Evaluates a price at once; queues other values for the next poll. */
  #evaluate(subject: Subject): void {
    const { kind, assetId, currency } = subject.of;
    this.#withNewReason.add(subject);
    if (kind !== 'price' || assetId === null) {
      this.#dependents.markDirty(subject);
      return;
    }
    const quote = this.#quote(currency, assetId);
    if (quote === undefined) this.#assets.queueLoad(currency, assetId);
    else this.#see(subject, priceObservation(quote));
  }

  #onTick({ currency, quotes, failures }: Tick): void {
    for (const quote of quotes) this.#onQuote(quote);
    for (const { assetId } of failures) {
      if (this.#deps.quotes.get(currency, assetId) !== undefined) continue;
      for (const subject of this.#assets.subjectsOf(currency, assetId)) {
        if (subject.of.kind === 'price') this.#setReason(subject, 'no_quote');
        else this.#dependents.markDirty(subject);
      }
    }
  }

  #onQuote(cached: CachedQuote): void {
    const { currency, assetId } = cached;
    let observation: Observation | undefined;
    for (const subject of this.#assets.subjectsOf(currency, assetId)) {
      if (subject.of.kind !== 'price') {
        this.#dependents.markDirty(subject);
        continue;
      }
      observation ??= priceObservation(alertQuoteOf(cached, this.#deps.clock.now(), this.#deps.freshMs));
      this.#setReason(subject, null);
      this.#see(subject, observation);
    }
  }

  #see(subject: Subject, observation: Observation): void {
    this.#transitions.add(subject.see(observation));
  }

  #setReason(subject: Subject, reason: Parameters<Subject['setReason']>[0]): void {
    if (subject.setReason(reason)) this.#withNewReason.add(subject);
  }

  #quote(currency: string, assetId: string): AlertQuote | undefined {
    const cached = this.#deps.quotes.get(currency, assetId);
    return cached && alertQuoteOf(cached, this.#deps.clock.now(), this.#deps.freshMs);
  }

  #settle(started: StartedTransition, found: FoundAlert | undefined, isStored: boolean): void {
    const { subject, alert } = started;
    if (found === undefined || found.isDeleted) {
      this.#index.remove(alert.id);
      return;
    }
    // Only if somebody else changed the alert: otherwise it would be refused again.
    const again = !isStored && found.alert.version !== alert.version;
    if (subjectKeyOf(found.alert) === subject.key) {
      const next = subject.settle(started, found.alert, again);
      if (next !== undefined) {
        this.#transitions.add([next]);
        return;
      }
    }
    // Deleted meanwhile: what was read earlier is outdated.
    if (!this.#index.has(alert.id)) return;
    const changed = this.#index.put(found.alert);
    if (changed !== undefined) this.#evaluate(changed);
  }

  async #announce({ firedUserIds, deliveryIds }: StoredTransitions): Promise<void> {
    const { channel, enqueueDeliveries, log } = this.#deps;
    if (deliveryIds.length > 0) await enqueueDeliveries(deliveryIds);
    if (firedUserIds.length === 0) return;
    await channel.fired(firedUserIds).catch((error: unknown) => {
      log.debug({ reason: messageOf(error) }, 'firings could not be published');
    });
  }

  #poll(): void {
    this.#watchList.poll();
    this.#polling ??= this.#pollNow().finally(() => (this.#polling = undefined));
  }

  async #pollNow(): Promise<void> {
    const now = this.#deps.clock.now();
    try {
      await this.#assets.load((quote) => this.#onQuote(quote));
      await this.#dependents.poll(now);
      for (const subject of this.#withNewReason) await this.#storeReason(subject);
      if (now >= this.#purgeDueAt) {
        this.#purgeDueAt = now + purgeEveryMs;
        await this.#deps.watch.purge(firingsKeptSeconds);
      }
      this.#isFailing = false;
    } catch (error) {
      if (!this.#isFailing)
        this.#deps.log.warn(
          { reason: messageOf(error) },
          'the poll of alerts failed: changes, portfolio values and prices missed by ticks are not evaluated; retrying (check Redis and Postgres)',
        );
      this.#isFailing = true;
    }
  }

  #value(subject: Subject, result: ValueResult): void {
    this.#setReason(subject, 'reason' in result ? result.reason : null);
    if ('observation' in result) this.#see(subject, result.observation);
  }

  async #storeReason(subject: Subject): Promise<void> {
    const reasonToStore = subject.reasonToStore();
    if (reasonToStore !== undefined) {
      const { ids, reason } = reasonToStore;
      for (let from = 0; from < ids.length; from += reasonsPerStatement)
        await this.#deps.watch.storeReason(ids.slice(from, from + reasonsPerStatement), reason);
      subject.reasonStored(ids, reason);
    }
    this.#withNewReason.delete(subject);
  }
}

/** Quotes per read. */
const quotesPerRead = 250;

/** Knows which subjects depend on which assets, and keeps their quotes fresh: an alert works even if nobody reads the price. */
class AssetWatch {
  readonly #quotes: EvaluatorDeps['quotes'];
  readonly #watchList: WatchList;
  readonly #subjects = new Map<string, Set<Subject>>();
  readonly #assetsOf = new Map<Subject, ReadonlySet<string>>();
  /** Assets whose quote is to be loaded, by currency. */
  readonly #toLoad = new Map<string, Set<string>>();

  constructor(quotes: EvaluatorDeps['quotes'], watchList: WatchList) {
    this.#quotes = quotes;
    this.#watchList = watchList;
  }

  subjectsOf(currency: string, assetId: string): Iterable<Subject> {
    return this.#subjects.get(`${currency}:${assetId}`) ?? [];
  }

  /** From now on a subject depends on exactly these assets. */
  set(subject: Subject, assetIds: readonly string[]): void {
    const { currency } = subject.of;
    const before = this.#assetsOf.get(subject) ?? new Set<string>();
    const after = new Set(assetIds);
    const added = assetIds.filter((id) => !before.has(id));
    const gone = [...before].filter((id) => !after.has(id));
    if (after.size === 0) this.#assetsOf.delete(subject);
    else this.#assetsOf.set(subject, after);
    for (const id of added) this.#add(subject, id);
    for (const id of gone) this.#remove(subject, id);
    if (added.length > 0) this.#watchList.add(currency, added, subject.ownerId);
    if (gone.length > 0) this.#watchList.remove(currency, gone);
  }

  /** Ticks may have been missed: every quote is to be loaded. */
  queueLoadAll(): void {
    for (const key of this.#subjects.keys()) {
      const colon = key.indexOf(':');
      this.queueLoad(key.slice(0, colon), key.slice(colon + 1));
    }
  }

  /** Queues the quote of an asset to be loaded. */
  queueLoad(currency: string, assetId: string): void {
    const wanted = this.#toLoad.get(currency) ?? new Set<string>();
    this.#toLoad.set(currency, wanted);
    wanted.add(assetId);
  }

  /** Loads the queued quotes. Rejects when the cache does not answer; the rest is then loaded next time. */
  async load(onQuote: (quote: CachedQuote) => void): Promise<void> {
    for (const [currency, wanted] of this.#toLoad) {
      const assetIds = [...wanted];
      for (let from = 0; from < assetIds.length; from += quotesPerRead) {
        const part = assetIds.slice(from, from + quotesPerRead);
        await this.#quotes.load(currency, part);
        this.#found(currency, part, onQuote);
      }
      if (wanted.size === 0) this.#toLoad.delete(currency);
    }
  }

  #found(currency: string, assetIds: readonly string[], onQuote: (quote: CachedQuote) => void): void {
    for (const assetId of assetIds) {
      this.#toLoad.get(currency)?.delete(assetId);
      const quote = this.#quotes.get(currency, assetId);
      if (quote !== undefined) onQuote(quote);
    }
  }

  #add(subject: Subject, assetId: string): void {
    const { currency } = subject.of;
    const key = `${currency}:${assetId}`;
    const subjects = this.#subjects.get(key) ?? new Set();
    this.#subjects.set(key, subjects);
    subjects.add(subject);
    this.queueLoad(currency, assetId);
  }

  #remove(subject: Subject, assetId: string): void {
    const key = `${subject.of.currency}:${assetId}`;
    const subjects = this.#subjects.get(key);
    subjects?.delete(subject);
    if (subjects?.size === 0) this.#subjects.delete(key);
  }
}
