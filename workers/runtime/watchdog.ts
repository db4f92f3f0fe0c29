import type { Queues } from '../../src/queue/queues.ts';
import type { Logger } from '../../src/lib/logger.ts';
import type { RunningWorker } from './create-worker.ts';

/**
 * Ends a process that looks alive and does not work, so that the process manager starts another. That is so only when Redis
 * answers, jobs wait, a slot is free, and nothing has started or ended for a while. Waiting for budget, an outage of Redis
 * or an idle queue never count.
 */
interface WatchdogDeps {
  readonly workers: readonly RunningWorker[];
  readonly queues: Pick<Queues, 'counts'>;
  readonly log: Logger;
  readonly onStuck: (queue: string) => void;
  readonly intervalMs?: number;
  readonly patienceMs?: number;
}

/** Starts the watchdog; returns how to stop it. */
export function startWatchdog(deps: WatchdogDeps): () => void {
  const { workers, intervalMs = 5_000, patienceMs = 45_000 } = deps;
  const stuckSince = new Map<string, number>();

  const check = async (worker: RunningWorker): Promise<void> => {
    const counts = await deps.queues.counts(worker.queue).catch(() => undefined);
    const waiting = (counts?.['waiting'] ?? 0) + (counts?.['prioritized'] ?? 0);
    const idleMs = Date.now() - worker.lastActivityAt();
    const suspicious = waiting > 0 && worker.active() < worker.concurrency && idleMs > intervalMs;
    if (!suspicious) return void stuckSince.delete(worker.queue);
    // The time without work counts from when there was work: an idle hour before it does not.
    const since = stuckSince.get(worker.queue) ?? Date.now();
    stuckSince.set(worker.queue, since);
    if (Date.now() - since < patienceMs) return;
    deps.log.fatal(
      { queue: worker.queue, waiting, idleMs },
      'this worker does not consume; ending the process',
    );
    deps.onStuck(worker.queue);
  };

  const timer = setInterval(() => void Promise.all(workers.map(check)), intervalMs);
  timer.unref();
  return () => clearInterval(timer);
}
