/**
 * Stores state transitions of alerts, in batches, one after the other. While Postgres is away they wait here, at most one for
 * each alert, and are retried, so that no observation is lost.
 */
import type {
  AlertTransition,
  AlertTransitionQueries,
  StoredTransitions,
} from './queries/alert-transitions.ts';
import type { AlertWatchQueries, FoundAlert } from './queries/alert-watch.ts';
import { createWakeSignal } from '../../platform/concurrency/wake-signal.ts';
import { messageOf, UnavailableError } from '../../domain/errors.ts';
import type { Logger } from '../../platform/observability/logger.ts';
import { shownAlert } from './alert.ts';
import type { Begun } from './subject.ts';

interface AlertTransitionsDeps {
  readonly transitionQueries: AlertTransitionQueries;
  readonly watch: Pick<AlertWatchQueries, 'byIds'>;
  /**
   * The outcome of a transition: the alert as it is now (undefined when it is gone), and whether this transition made it so.
   */
  readonly onSettled: (begun: Begun, found: FoundAlert | undefined, isMoved: boolean) => void;
  /** Called after the commit. Must not reject. */
  readonly onMoved: (moved: StoredTransitions) => Promise<void>;
  readonly log: Logger;
}

/** Transitions per database transaction. */
const batchSize = 100;
const leastWaitMs = 250;
const longestWaitMs = 5_000;

export class AlertTransitions {
  readonly #deps: AlertTransitionsDeps;
  readonly #waiting: Begun[] = [];
  readonly #wakeSignal = createWakeSignal();
  readonly #running: Promise<void>;
  #isClosed = false;

  constructor(deps: AlertTransitionsDeps) {
    this.#deps = deps;
    this.#running = this.#run();
  }

  /** Transitions that are not stored yet. */
  get size(): number {
    return this.#waiting.length;
  }

  add(begun: readonly Begun[]): void {
    for (const each of begun) this.#waiting.push(each);
    if (begun.length > 0) this.#wakeSignal.wake();
  }

  /** Ends after the running batch and those that can be stored at once. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#wakeSignal.wake();
    await this.#running;
  }

  async #run(): Promise<void> {
    let waitMs = 0;
    while (!this.#isClosed || (this.#waiting.length > 0 && waitMs === 0)) {
      if (this.#waiting.length === 0) {
        await this.#wakeSignal.wait(longestWaitMs);
        continue;
      }
      const batch = this.#waiting.slice(0, batchSize);
      const isDone = await this.#store(batch);
      if (isDone) this.#waiting.splice(0, batch.length);
      waitMs = isDone ? 0 : Math.min(longestWaitMs, Math.max(leastWaitMs, 2 * waitMs));
      if (waitMs > 0 && !this.#isClosed) await this.#wakeSignal.wait(waitMs);
    }
  }

  /** False when Postgres is unavailable: the batch is to be retried. */
  async #store(batch: readonly Begun[]): Promise<boolean> {
    const { transitionQueries, log } = this.#deps;
    let moved: StoredTransitions;
    try {
      moved = await transitionQueries.transition(batch.map(transitionOfBegun));
    } catch (error) {
      if (error instanceof UnavailableError) {
        log.warn(
          { reason: messageOf(error), moves: batch.length },
          'alerts fired or re-armed, but Postgres did not store it; retrying, notifications are delayed',
        );
        return false;
      }
      return await this.#storeAlone(batch, error);
    }
    await this.#settle(batch, moved);
    return true;
  }

  /** One of them violates a rule of the database: the others are stored without it. */
  async #storeAlone(batch: readonly Begun[], error: unknown): Promise<boolean> {
    if (batch.length === 1) {
      const [begun] = batch;
      this.#deps.log.error(
        { alert: begun?.alert.id, err: error },
        'an alert fired or re-armed, but Postgres refuses to store it; this event is dropped (please report it as a bug)',
      );
      if (begun !== undefined) this.#deps.onSettled(begun, { alert: begun.alert, isDeleted: false }, true);
      return true;
    }
    for (const [index, begun] of batch.entries()) {
      if (await this.#store([begun])) continue;
      // A committed transition must not be retried.
      this.#waiting.splice(0, index);
      return false;
    }
    return true;
  }

  async #settle(batch: readonly Begun[], moved: StoredTransitions): Promise<void> {
    const now = new Map<string, FoundAlert>(
      moved.alerts.map((alert) => [alert.id, { alert, isDeleted: false }]),
    );
    await this.#deps.onMoved(moved);
    const others = batch.filter(({ alert }) => !now.has(alert.id)).map(({ alert }) => alert.id);
    const found = new Map((await this.#read(others)).map((each) => [each.alert.id, each]));
    for (const begun of batch) {
      const { id } = begun.alert;
      this.#deps.onSettled(begun, now.get(id) ?? found.get(id), now.has(id));
    }
  }

  /** Reads alerts that another process or their owner has changed. */
  async #read(ids: readonly string[]): Promise<readonly FoundAlert[]> {
    if (ids.length === 0) return [];
    try {
      return await this.#deps.watch.byIds(ids);
    } catch (error) {
      // They are dropped here, and found again by the next look for changes.
      this.#deps.log.debug({ reason: messageOf(error) }, 'changed alerts could not be read');
      return [];
    }
  }
}

function transitionOfBegun({ alert, transition, seen }: Begun): AlertTransition {
  const { asOf, receivedAt, source, state } = seen.quote;
  return {
    id: alert.id,
    userId: alert.userId,
    version: alert.version,
    to: transition,
    value: seen.text,
    quote: seen.quote,
    // The alert is shown as it is after the firing.
    describe: (fired, { id, at }) => ({
      id,
      at,
      alert: shownAlert(fired),
      value: seen.text,
      threshold: fired.threshold,
      quote: { as_of: asOf, received_at: new Date(receivedAt), source, state },
      ...(seen.reference === undefined ? {} : { reference: seen.reference }),
    }),
  };
}
