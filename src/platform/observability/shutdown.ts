import type { Logger } from './logger.ts';
import { messageOf } from '../../domain/errors.ts';
import { withDeadline } from '../concurrency/deadline.ts';

/** Order in which things end: a lower phase ends before a higher one starts. */
export const shutdownPhases = [
  'announce', // readiness off
  'accept', // stop taking new work in
  'work', // finish or put back what runs
  'streams', // end client streams with a retry hint
  'queues', // queue handles and event readers
  'threads', // thread pools
  'clients', // Redis, Postgres
] as const;
type ShutdownPhase = (typeof shutdownPhases)[number];

interface Step {
  readonly phase: ShutdownPhase;
  readonly name: string;
  readonly close: () => Promise<void> | void;
}

/** An ordered list of what a process must close, run once. A failing step never keeps the others from running. */
export interface Shutdown {
  add(phase: ShutdownPhase, name: string, close: () => Promise<void> | void): void;
  /** Runs every step; each phase has `phaseMs` at most. Never rejects. Later calls return the first run's promise. */
  run(reason: string): Promise<void>;
}

/** Builds a {@link Shutdown}. `phaseMs` limits each phase, so that the sum stays below the timeout of the process manager. */
export function createShutdown(log: Logger, phaseMs = 8_000): Shutdown {
  const steps: Step[] = [];
  let running: Promise<void> | undefined;

  async function closeStep(step: Step): Promise<void> {
    try {
      await withDeadline(Promise.resolve(step.close()), phaseMs, `closing ${step.name}`);
    } catch (error) {
      log.warn(
        { step: step.name, reason: messageOf(error) },
        'a shutdown step failed or took too long; shutdown continues without it',
      );
    }
  }

  async function runAll(reason: string): Promise<void> {
    log.info({ reason }, 'shutting down');
    for (const phase of shutdownPhases) {
      await Promise.all(steps.filter((step) => step.phase === phase).map(closeStep));
    }
    log.info('shutdown complete');
  }

  return {
    add: (phase, name, close) => void steps.push({ phase, name, close }),
    run: (reason) => (running ??= runAll(reason)),
  };
}

/**
 * Ends the process in order on SIGTERM, SIGINT and on the parent's disconnect; forces the exit at `forceMs`.
 * An uncaught error also ends the process, with exit code 1, because its state is no longer known.
 */
export function onProcessEnd(shutdown: Shutdown, log: Logger, forceMs = 10_000): void {
  const end = (reason: string, code: number): void => {
    setTimeout(() => process.exit(code === 0 ? 2 : code), forceMs).unref();
    void shutdown.run(reason).then(() => process.exit(code));
  };
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => end(signal, 0));
  process.on('message', (message) => {
    if (message === 'shutdown') end('message', 0);
  });
  process.on('disconnect', () => end('parent went away', 0));
  process.on('uncaughtException', (error) => {
    log.fatal({ err: error }, 'uncaught exception');
    end('uncaught exception', 1);
  });
}
