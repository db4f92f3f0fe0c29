import { DeadlineError, withDeadline } from '../concurrency/deadline.ts';
import type { Clock } from '../concurrency/clock.ts';
import { messageOf } from '../../domain/errors.ts';
import type { Logger } from './logger.ts';

/** A dependency that this process needs in order to serve. `check` rejects when it is unavailable. */
export interface HealthCheck {
  /** Short name that clients may see: `postgres`, `redis`. */
  readonly name: string;
  /** May return a word on its state that anybody may read. */
  readonly check: () => Promise<string | undefined>;
}

/** Thrown by a check to say why it fails, in words that anybody may read: without hosts, users and secrets. */
export class HealthReason extends Error {
  constructor(reason: string) {
    super(reason);
    this.name = 'HealthReason';
  }
}

interface Readiness {
  readonly ok: boolean;
  /** Outcomes by name. `detail` is safe to show to anybody. */
  readonly checks: Readonly<Record<string, { readonly ok: boolean; readonly detail?: string | undefined }>>;
}

export interface HealthChecks {
  /** Runs all checks at once; the answer is kept for half a second, so that probes cannot load the dependencies. Never rejects. */
  ready(): Promise<Readiness>;
  /** From now on the process says that it is not ready: it is about to stop. */
  retire(): void;
}

const deadlineMs = 1_000;
const keptMs = 500;

/** Builds the {@link HealthChecks} of a process. Each check has one second. */
export function createHealth({
  checks,
  clock,
  log,
}: {
  readonly checks: readonly HealthCheck[];
  readonly clock: Clock;
  readonly log: Logger;
}): HealthChecks {
  let retired = false;
  let kept: { readonly readiness: Promise<Readiness>; readonly until: number } | undefined;

  async function outcomeOf({ name, check }: HealthCheck) {
    try {
      const detail = await withDeadline(check(), deadlineMs, name);
      return detail === undefined ? { ok: true } : { ok: true, detail };
    } catch (error) {
      log.warn(
        { check: name, reason: messageOf(error) },
        'a health check failed: this process reports not ready until it passes',
      );
      if (error instanceof HealthReason) return { ok: false, detail: error.message };
      // Any other reason may name hosts and users: it is for the log, not for the anonymous.
      return { ok: false, detail: error instanceof DeadlineError ? 'timed out' : 'failed' };
    }
  }

  async function runAll(): Promise<Readiness> {
    const outcomes = await Promise.all(
      checks.map(async (check) => [check.name, await outcomeOf(check)] as const),
    );
    return { ok: outcomes.every(([, { ok }]) => ok), checks: Object.fromEntries(outcomes) };
  }

  return {
    ready: async () => {
      if (retired) return { ok: false, checks: { process: { ok: false, detail: 'shutting down' } } };
      if (kept === undefined || kept.until <= clock.now())
        kept = { readiness: runAll(), until: clock.now() + keptMs };
      return kept.readiness;
    },
    retire: () => {
      retired = true;
    },
  };
}
