/**
 * Stores state transitions of alerts, in batches, one after the other. While Postgres is away they wait here, at most one for
 * each alert, and are retried.
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
import type { StartedTransition } from './subject.ts';

interface AlertTransitionWriterDeps {
  readonly transitionQueries: AlertTransitionQueries;
  readonly watch: Pick<AlertWatchQueries, 'byIds'>;
  /**
   * The outcome of a transition: the alert as it is now (undefined when it is gone or could not be read), and whether the
   * transition is done with: stored, or dropped because Postgres refuses it.
   */
  readonly onSettled: (started: StartedTransition, found: FoundAlert | undefined, isStored: boolean) => void;
  /** Called after the commit. Must not reject. */
  readonly onStored: (stored: StoredTransitions) => Promise<void>;
  readonly log: Logger;
}

/** Transitions per database transaction. */
const batchSize = 100;
const minWaitMs = 250;
const longestWaitMs = 5_000;

export class AlertTransitionWriter {
  readonly #deps: AlertTransitionWriterDeps;
  readonly #waiting: StartedTransition[] = [];
  readonly #wakeSignal = createWakeSignal();
  readonly #running: Promise<void>;
  #isClosed = false;

  constructor(deps: AlertTransitionWriterDeps) {
    this.#deps = deps;
    this.#running = this.#run();
  }

  /** Transitions that are not stored yet. */
  get size(): number {
    return this.#waiting.length;
  }

  add(started: readonly StartedTransition[]): void {
    for (const each of started) this.#waiting.push(each);
    if (started.length > 0) this.#wakeSignal.wake();
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
      waitMs = isDone ? 0 : Math.min(longestWaitMs, Math.max(minWaitMs, 2 * waitMs));
      if (waitMs > 0 && !this.#isClosed) await this.#wakeSignal.wait(waitMs);
    }
  }

  /** False when Postgres is unavailable: the batch is to be retried. */
  async #store(batch: readonly StartedTransition[]): Promise<boolean> {
    const { transitionQueries, log } = this.#deps;
    let moved: StoredTransitions;
    try {
      moved = await transitionQueries.transition(batch.map(storedFormOf));
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
  async #storeAlone(batch: readonly StartedTransition[], error: unknown): Promise<boolean> {
    if (batch.length === 1) {
      const [started] = batch;
      this.#deps.log.error(
        { alert: started?.alert.id, err: error },
        'an alert fired or re-armed, but Postgres refuses to store it; this event is dropped (please report it as a bug)',
      );
      if (started !== undefined)
        this.#deps.onSettled(started, { alert: started.alert, isDeleted: false }, true);
      return true;
    }
    for (const [index, started] of batch.entries()) {
      if (await this.#store([started])) continue;
      // A committed transition must not be retried.
      this.#waiting.splice(0, index);
      return false;
    }
    return true;
  }

  async #settle(batch: readonly StartedTransition[], stored: StoredTransitions): Promise<void> {
    const now = new Map<string, FoundAlert>(
      stored.alerts.map((alert) => [alert.id, { alert, isDeleted: false }]),
    );
    await this.#deps.onStored(stored);
    const others = batch.filter(({ alert }) => !now.has(alert.id)).map(({ alert }) => alert.id);
    const found = new Map((await this.#read(others)).map((each) => [each.alert.id, each]));
    for (const started of batch) {
      const { id } = started.alert;
      this.#deps.onSettled(started, now.get(id) ?? found.get(id), now.has(id));
    }
  }

  /** Reads alerts that another process or their owner has changed. */
  async #read(ids: readonly string[]): Promise<readonly FoundAlert[]> {
    if (ids.length === 0) return [];
    try {
      return await this.#deps.watch.byIds(ids);
    } catch (error) {
      // They are dropped here, and found again by the next poll for changes.
      this.#deps.log.debug({ reason: messageOf(error) }, 'changed alerts could not be read');
      return [];
    }
  }
}

function storedFormOf({ alert, transition, observation }: StartedTransition): AlertTransition {
  const { asOf, receivedAt, source, state } = observation.quote;
  return {
    id: alert.id,
    userId: alert.userId,
    version: alert.version,
    to: transition,
    value: observation.text,
    quote: observation.quote,
    // The alert is shown as it is after the firing.
    describe: (fired, { id, at }) => ({
      id,
      at,
      alert: shownAlert(fired),
      value: observation.text,
      threshold: fired.threshold,
      quote: { as_of: asOf, received_at: new Date(receivedAt), source, state },
      ...(observation.reference === undefined ? {} : { reference: observation.reference }),
    }),
  };
}
