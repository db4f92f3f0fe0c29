import { formerMaintenanceQueue, registry } from '../../jobs/registry.ts';
import { messageOf } from '../../src/domain/errors.ts';
import type { Logger } from '../../src/platform/observability/logger.ts';
import type { Queues } from '../../src/platform/queue/queues.ts';

/** A Redis that was wiped has lost the schedules too, so every worker sets them again this often (ms). */
const renewMs = 10_000;

/**
 * Keeps the schedules of all periodic jobs in Redis, and removes those of the queue that they had in earlier versions; returns how
 * to stop.
 */
export function keepSchedules(
  queues: Queues,
  {
    log,
    restsNow,
    isMaintained,
  }: {
    readonly log: Logger;
    /** Whether this process may not plan, because its clock is off. */
    readonly restsNow: () => boolean;
    /** Whether this process runs periodic jobs: only then may those of an earlier version go. */
    readonly isMaintained: boolean;
  },
): () => void {
  const renew = async (): Promise<void> => {
    if (restsNow()) return;
    try {
      for (const { name, queue, every } of Object.values(registry)) {
        if (every === undefined) continue;
        await queues
          .handle(queue)
          .upsertJobScheduler(
            name,
            { every },
            { name, data: {}, opts: { removeOnComplete: true, removeOnFail: 100 } },
          );
      }
      if (isMaintained) await queues.removePeriodic(formerMaintenanceQueue);
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
