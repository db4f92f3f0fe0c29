import type { RunQueries } from '../../../src/features/jobs/queries/runs.ts';
import { priceOf, type QuoteReading } from '../../../src/domain/cached-quote.ts';
import { workSubject, type JobEvent, type JobEventLog } from '../../../src/features/jobs/job-events.ts';
import type { Clock } from '../../../src/platform/concurrency/clock.ts';
import { messageOf } from '../../../src/domain/errors.ts';
import type { Logger } from '../../../src/platform/observability/logger.ts';

interface ProgressDeps {
  readonly runs: RunQueries;
  readonly events: JobEventLog;
  readonly clock: Clock;
  readonly log: Logger;
  readonly workKey: string;
  readonly total: number;
  readonly startedAt: Date;
}

/** Progress is written to the rows at most this often (ms); events are sent for every batch. */
const rowEveryMs = 500;

/**
 * What a run reports while it goes: events in order, and now and then the rows. A run that finds everything in the cache
 * reports nothing until it ends, and then everything in one entry. Progress is best effort: losing it never fails a run.
 */
export class RunProgress {
  readonly #deps: ProgressDeps;
  #unsent: JobEvent[] = [];
  #done = 0;
  #waiting = false;
  #rowUpdatedAt = 0;
  #chain: Promise<void> = Promise.resolve();

  constructor(deps: ProgressDeps) {
    this.#deps = deps;
  }

  /** Reports that assets have settled. */
  settled(readings: readonly QuoteReading[]): void {
    this.#done += readings.length;
    for (const reading of readings) this.#unsent.push({ type: 'job.coin', data: coinOf(reading) });
    this.#unsent.push({ type: 'job.progress', data: { done: this.#done, total: this.#deps.total } });
    if (this.#waiting && this.#done < this.#deps.total) this.#publish();
  }

  /** Reports the total number of steps done. */
  reached(done: number): void {
    if (done <= this.#done) return;
    this.#done = Math.min(done, this.#deps.total);
    this.#unsent.push({ type: 'job.progress', data: { done: this.#done, total: this.#deps.total } });
    this.#publish();
  }

  /** Reports that the cache alone is not enough. */
  waits(): void {
    this.#waiting = true;
    if (this.#unsent.length === 0)
      this.#unsent.push({ type: 'job.progress', data: { done: 0, total: this.#deps.total } });
    this.#publish();
  }

  /** Reports that the rows have been completed; sends what is left and the last event. */
  async completed(jobIds: readonly string[]): Promise<void> {
    const { total } = this.#deps;
    this.#unsent.push({
      type: 'job.completed',
      data: { state: 'completed', progress: { done: total, total } },
      jobs: jobIds,
    });
    this.#sendEvents();
    await this.#chain;
  }

  /** Resolves when everything that was reported has been sent or given up. */
  async flushed(): Promise<void> {
    await this.#chain;
  }

  #publish(): void {
    this.#sendEvents();
    const now = this.#deps.clock.now();
    if (now - this.#rowUpdatedAt < rowEveryMs) return;
    this.#rowUpdatedAt = now;
    const done = this.#done;
    this.#enqueue(() => this.#deps.runs.markProgress(this.#deps, done));
  }

  #sendEvents(): void {
    const events = this.#unsent;
    this.#unsent = [];
    this.#enqueue(() => this.#deps.events.append(workSubject(this.#deps.workKey), events));
  }

  #enqueue(step: () => Promise<void>): void {
    this.#chain = this.#chain.then(step).catch((error: unknown) => {
      this.#deps.log.warn(
        { reason: messageOf(error) },
        'the progress of a job could not be published in Redis; clients see it late or not at all, the job continues',
      );
    });
  }
}

function coinOf({ assetId, state, quote, reason }: QuoteReading): object {
  if (state === 'unpriced') return { id: assetId, state, price: null, reason };
  return { id: assetId, state, ...(quote === undefined ? { reason } : { price: priceOf(quote) }) };
}
