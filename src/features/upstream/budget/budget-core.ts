/** What the parts of the budget share: options, scripts, deadlines. */
import type { Redis } from 'ioredis';
import { withDeadline } from '../../../platform/concurrency/deadline.ts';
import { messageOf } from '../../../domain/errors.ts';
import type { Logger } from '../../../platform/observability/logger.ts';
import type { CallOutcome } from './budget.ts';
import type { UpstreamLedger } from './call-log.ts';
import { monthBegins } from './month.ts';
import { bindScript, type Script } from './run-script.ts';
import {
  acquireScript,
  blockScript,
  rebuildScript,
  releaseScript,
  settleScript,
  statusScript,
  tellScript,
} from './budget-scripts.ts';

/** Which calls cost credits: all that were sent, those that were not refused, or those answered 200. */
export type Charged = 'always' | 'unless_refused' | 'when_successful';

export interface RedisBudgetOptions {
  readonly redis: Redis;
  readonly ledger: UpstreamLedger;
  readonly log: Logger;
  /** First part of all keys in Redis. */
  readonly prefix: string;
  /** Name of the budget: one per provider and key. */
  readonly key: string;
  /** Calls in any sliding 60 s. */
  readonly limit: number;
  /** What the provider tells of its limits may raise `limit` and stand for an absent `month`, not only lower them. */
  readonly assumed?: { readonly limit: boolean; readonly month: boolean };
  /** Credits of a month, which begins on the day `startsOn` (UTC). Absent: no limit. */
  readonly month?: { readonly credits: number };
  /** Day (UTC) on which the provider's month begins. Default 1. */
  readonly monthStartsOn?: number;
  /** Which calls cost credits. Default `unless_refused`. */
  readonly charged?: Charged;
  /** A call is aborted so long after its grant was asked for. At most 60 s. Default 15 s. */
  readonly callDeadlineMs?: number;
  /** Added to the window. Default 500 ms. */
  readonly marginMs?: number;
  /** Deadline of a command to Redis. Default 1 s. */
  readonly redisTimeoutMs?: number;
  /** Deadline of a statement to Postgres. Default 2 s. */
  readonly ledgerTimeoutMs?: number;
  /** Time instead of Redis's own, for tests. Milliseconds. */
  readonly now?: () => number;
}

const minuteMs = 60_000;
const maxCallDeadlineMs = 60_000;
/** When it is worth asking again (ms) after Redis or Postgres could not be asked. */
export const unreachableWaitMs = 1_000;

/** The names in Redis of a budget's log and state; the braces keep them on one node of a cluster. */
export function budgetKeys(prefix: string, key: string): { readonly log: string; readonly state: string } {
  return { log: `${prefix}:budget:{${key}}:log`, state: `${prefix}:budget:{${key}}:state` };
}

/** A budget's own view of itself. */
export interface Core {
  readonly options: RedisBudgetOptions;
  readonly lastsMs: number;
  readonly windowMs: number;
  readonly keys: { readonly log: string; readonly state: string };
  readonly scripts: Record<
    'acquire' | 'rebuild' | 'settle' | 'release' | 'block' | 'tell' | 'status',
    Script
  >;
  /** Limits and begins of months, as the scripts take them. */
  readonly terms: () => string;
  /** Outcomes of calls that cost no credits. */
  readonly free: readonly CallOutcome[];
  readonly now: () => string;
  readonly redisCall: <T>(command: Promise<T>) => Promise<T>;
  readonly ledgerCall: <T>(statement: Promise<T>) => Promise<T>;
}

/**
 * Checks the options and binds the scripts.
 * @throws {RangeError} when the limit is not a whole number above 0, or the deadline of a call is out of its range.
 */
export function createCore(options: RedisBudgetOptions): Core {
  const lastsMs = options.callDeadlineMs ?? 15_000;
  if (!Number.isInteger(options.limit) || options.limit < 1) {
    throw new RangeError(`A budget is a whole number of calls above 0, not ${options.limit}`);
  }
  const credits = options.month?.credits ?? 1;
  if (!Number.isInteger(credits) || credits < 1) {
    throw new RangeError(`The credits of a month are a whole number above 0, not ${credits}`);
  }
  if (!(lastsMs > 0 && lastsMs <= maxCallDeadlineMs)) {
    throw new RangeError(`A call lasts at most ${maxCallDeadlineMs} ms, not ${lastsMs}`);
  }
  const keys = budgetKeys(options.prefix, options.key);
  const timeoutMs = options.redisTimeoutMs ?? 1_000;
  const bind = (lua: string): Script =>
    bindScript({ redis: options.redis, lua, keys: [keys.log, keys.state], timeoutMs });
  return {
    options,
    lastsMs,
    windowMs: minuteMs + (options.marginMs ?? 500),
    keys,
    scripts: {
      acquire: bind(acquireScript),
      rebuild: bind(rebuildScript),
      settle: bind(settleScript),
      release: bind(releaseScript),
      block: bind(blockScript),
      tell: bind(tellScript),
      status: bind(statusScript),
    },
    terms: () => termsOf(options),
    free: freeOutcomes[options.charged ?? 'unless_refused'],
    now: () => (options.now === undefined ? '' : String(options.now())),
    redisCall: (command) => withDeadline(command, timeoutMs, 'Redis'),
    ledgerCall: (statement) => withDeadline(statement, options.ledgerTimeoutMs ?? 2_000, 'the ledger'),
  };
}

/** Says that something went wrong which the budget bears. */
export function warn(core: Core, error: unknown, message: string): void {
  core.options.log.warn({ budget: core.options.key, reason: messageOf(error) }, message);
}

const refused: readonly CallOutcome[] = ['rate_limited', 'rejected', 'url_too_long'];

/** A call without an answer, and one whose answer could not be used, may have been charged in any case. */
const freeOutcomes: Readonly<Record<Charged, readonly CallOutcome[]>> = {
  always: [],
  unless_refused: refused,
  when_successful: [...refused, 'server_error'],
};

function termsOf({ limit, assumed, month, monthStartsOn = 1, now = Date.now }: RedisBudgetOptions): string {
  const flag = (is: boolean | undefined): number => (is === true ? 1 : 0);
  const begins = monthBegins(now(), monthStartsOn);
  return [limit, flag(assumed?.limit), month?.credits ?? 0, flag(assumed?.month), ...begins].join(',');
}
