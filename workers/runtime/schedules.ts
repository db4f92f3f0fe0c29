import type { JobName } from '../../jobs/registry.ts';
import { messageOf } from '../../src/domain/errors.ts';
import type { Logger } from '../../src/platform/observability/logger.ts';
import type { Queues } from '../../src/platform/queue/queues.ts';

/** Jobs that come back by themselves, and how often (ms). */
const schedules: readonly { readonly name: JobName; readonly everyMs: number }[] = [
  { name: 'jobs.reconcile', everyMs: 5_000 },
  { name: 'jobs.purge', everyMs: 600_000 },
  { name: 'tier.check', everyMs: 60_000 },
  { name: 'quotes.warm', everyMs: 5_000 },
  { name: 'assets.check', everyMs: 10_000 },
  { name: 'candles.roll', everyMs: 60_000 },
  { name: 'webhooks.check', everyMs: 5_000 },
  { name: 'snapshots.check', everyMs: 60_000 },
  { name: 'books.check', everyMs: 5_000 },
];

/** A Redis that was wiped has lost the schedules too, so every worker sets them again this often (ms). */
const renewMs = 10_000;

/** Keeps the schedules in Redis; returns how to stop. */
export function keepSchedules(queues: Queues, log: Logger): () => void {
  const renew = async (): Promise<void> => {
    try {
      const upkeep = queues.handle('upkeep');
      for (const { name, everyMs } of schedules) {
        await upkeep.upsertJobScheduler(
          name,
          { every: everyMs },
          { name, data: {}, opts: { removeOnComplete: true, removeOnFail: 100 } },
        );
      }
    } catch (error) {
      log.debug({ reason: messageOf(error) }, 'the schedules could not be renewed');
    }
  };
  // Without Redis a renewal waits until it is back; more of them would wait for the same.
  let renewing: Promise<void> | undefined;
  const renewOnce = (): void => {
    renewing ??= renew().finally(() => (renewing = undefined));
  };
  renewOnce();
  const timer = setInterval(renewOnce, renewMs);
  timer.unref();
  return () => clearInterval(timer);
}
