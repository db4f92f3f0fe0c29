import type { Queues } from '../../src/platform/queue/queues.ts';
import type { Logger } from '../../src/platform/observability/logger.ts';
import type { RunningWorker } from './create-worker.ts';

/**
 * Starts the watchdog; returns how to stop it. It ends a process that looks alive and does not work, so that the process
 * manager starts another. That is so only when Redis answers, jobs wait, a slot is free, and nothing has started or ended for
 * a while. Waiting for budget, an outage of Redis, a pause or an idle queue never count.
 */
export function startWatchdog(deps: {
  readonly workers: readonly RunningWorker[];
  readonly queues: Pick<Queues, 'counts'>;
  readonly log: Logger;
  /** Told of the queue that is not consumed, at every look until the process is gone. */
  readonly onStuck: (queue: string) => void;
  /** The clock (ms) by which workers tell their last activity; the process's monotonic one when absent. */
  readonly clock?: { now(): number };
  /** Time (ms) between two looks. */
  readonly intervalMs?: number;
  /** Time (ms) without work, while there is work, after which a process is given up. */
  readonly patienceMs?: number;
}): () => void {
  const { workers, clock = performance, intervalMs = 5_000, patienceMs = 45_000 } = deps;
  const stuckSince = new Map<string, number>();

  const check = async (worker: RunningWorker): Promise<void> => {
    const counts = await deps.queues.counts(worker.queue).catch(() => undefined);
    const waiting = (counts?.['waiting'] ?? 0) + (counts?.['prioritized'] ?? 0);
    const idleMs = clock.now() - worker.lastActivityAt();
    const suspicious =
      !worker.isPaused() && waiting > 0 && worker.active() < worker.concurrency && idleMs > intervalMs;
    if (!suspicious) return void stuckSince.delete(worker.queue);
    // The time without work counts from when there was work: an idle hour before it does not.
    const since = stuckSince.get(worker.queue) ?? clock.now();
    stuckSince.set(worker.queue, since);
    if (clock.now() - since < patienceMs) return;
    deps.log.fatal(
      { queue: worker.queue, waiting, idleMs },
      'jobs wait, but this worker starts none: ending the process so that the process manager restarts it',
    );
    deps.onStuck(worker.queue);
  };

  const timer = setInterval(() => void Promise.all(workers.map(check)), intervalMs);
  timer.unref();
  return () => clearInterval(timer);
}
