/**
 * The budget of a provider over the whole fleet: a log of calls in Redis that decides, a ledger in Postgres from which a
 * forgotten log is rebuilt (docs/adr/0003).
 *
 * Why no sliding 60 s at the upstream ever holds more than the limit L. Let g be the moment of a grant and c the one in
 * which the upstream counts its call. The score s of a grant is never before c: it is g + callDeadlineMs at first, and the call
 * is aborted by then; it becomes the moment in which the answer was there, which is after c. Suppose that L + 1 calls
 * were counted within 60 s, and look at the one among them that was granted last, at t. It was counted at or after t, so
 * the others were counted after t - 60 s, so their scores are above t - 60 s, so the log held L of them at t, and there was no grant.
 * Neither jitter nor duration appears in this, hence no allowance for them. The margin covers what a clock cannot:
 * bytes still under way when a call is aborted.
 *
 * Why that survives a wiped Redis. A grant is used only when its row is in the ledger *and*, looked at after that, its
 * member is still in the log. If the log is lost later, the rebuild (which reads the ledger after the loss) finds the
 * row. If it was lost before, the member is gone and the grant is void, unless a rebuild found the row and brought the member back.
 *
 * When Redis or Postgres cannot be asked, nothing is granted.
 */
import type { Redis } from 'ioredis';
import { v7 as uuid } from 'uuid';
import { urgencies, type Urgency } from '../../domain/quote.ts';
import { withDeadline } from '../../lib/deadline.ts';
import { messageOf } from '../../lib/errors.ts';
import type { Logger } from '../../lib/logger.ts';
import { startStopwatch, type Stopwatch } from '../call-signal.ts';
import type { AcquireResult, Budget, BudgetStatus, CallOutcome, Grant } from './budget.ts';
import type { UpstreamLedger } from './ledger.ts';
import { bindScript, type Script } from './run-script.ts';
import {
  acquireScript,
  blockScript,
  rebuildScript,
  releaseScript,
  settleScript,
  statusScript,
} from './scripts.ts';

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
const unreachableWaitMs = 1_000;

/** The names in Redis of a budget's log and state; the braces keep them on one node of a cluster. */
export function budgetKeys(prefix: string, key: string): { readonly log: string; readonly state: string } {
  return { log: `${prefix}:budget:{${key}}:log`, state: `${prefix}:budget:{${key}}:state` };
}

interface Core {
  readonly options: RedisBudgetOptions;
  readonly lastsMs: number;
  readonly windowMs: number;
  readonly keys: { readonly log: string; readonly state: string };
  readonly scripts: Record<'acquire' | 'rebuild' | 'settle' | 'release' | 'block' | 'status', Script>;
  readonly now: () => string;
  readonly redisCall: <T>(command: Promise<T>) => Promise<T>;
  readonly ledgerCall: <T>(statement: Promise<T>) => Promise<T>;
}

/**
 * Builds the budget.
 * @throws {RangeError} when the limit is not a whole number above 0, or the deadline of a call is out of its range.
 */
export function createRedisBudget(options: RedisBudgetOptions): Budget {
  const core = createCore(options);
  const { scripts, now } = core;
  /** What the provider forbade, as this process knows it: holds when Redis could not be told. */
  let blocked: { since: Stopwatch; ms: number } | undefined;
  const blockedHereMs = (): number => (blocked === undefined ? 0 : blocked.ms - blocked.since.elapsedMs());

  return {
    key: options.key,
    async tryAcquire(urgency, patienceMs = minuteMs) {
      const localMs = options.now === undefined ? blockedHereMs() : 0;
      if (localMs > 0) return { waitMs: Math.ceil(localMs), reason: 'blocked' };
      return acquire(core, urgency, patienceMs);
    },
    async block(ms) {
      if (ms > blockedHereMs()) blocked = { since: startStopwatch(), ms };
      const told = scripts.block(now(), Math.ceil(ms));
      const written = core.ledgerCall(options.ledger.block({ budgetKey: options.key, ms }));
      for (const result of await Promise.allSettled([told, written])) {
        if (result.status === 'rejected') warn(core, result.reason, 'a block of the budget was not stored');
      }
    },
    status: () => statusOf(core),
  };
}

function createCore(options: RedisBudgetOptions): Core {
  const lastsMs = options.callDeadlineMs ?? 15_000;
  if (!Number.isInteger(options.limit) || options.limit < 1) {
    throw new RangeError(`A budget is a whole number of calls above 0, not ${options.limit}`);
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
      status: bind(statusScript),
    },
    now: () => (options.now === undefined ? '' : String(options.now())),
    redisCall: (command) => withDeadline(command, timeoutMs, 'Redis'),
    ledgerCall: (statement) => withDeadline(statement, options.ledgerTimeoutMs ?? 2_000, 'the ledger'),
  };
}

function warn(core: Core, error: unknown, message: string): void {
  core.options.log.warn({ budget: core.options.key, reason: messageOf(error) }, message);
}

async function acquire(core: Core, urgency: Urgency, patienceMs: number): Promise<AcquireResult> {
  const since = startStopwatch();
  const id = uuid();
  try {
    const [answer, detail, reason] = await ask(core, { id, urgency, patienceMs });
    if (answer === 'wait') return { waitMs: Number(detail), reason: reasonOf(reason) };
    if (answer !== 'granted') return { waitMs: 250, reason: 'unreachable' };
    const { ledger, key, redis } = core.options;
    await core.ledgerCall(ledger.record({ id, budgetKey: key, lastsMs: core.lastsMs }));
    const member = await core.redisCall(redis.zscore(core.keys.log, id));
    if (member !== null) return { granted: createGrant(core, id, since) };
    warn(core, 'its member is gone', 'a grant is void: Redis has lost the log meanwhile');
    void forget(core, id);
    return { waitMs: 50, reason: 'unreachable' };
  } catch (error) {
    warn(core, error, 'the budget cannot be asked, nothing is granted');
    void forget(core, id);
    return { waitMs: unreachableWaitMs, reason: 'unreachable' };
  }
}

function reasonOf(reason: string | undefined): 'window' | 'paced' | 'blocked' {
  return reason === 'window' || reason === 'blocked' ? reason : 'paced';
}

/** Asks the script, and once more after a rebuild when the log was lost. */
async function ask(
  core: Core,
  { id, urgency, patienceMs }: { id: string; urgency: Urgency; patienceMs: number },
): Promise<readonly string[]> {
  const rank = urgencies.indexOf(urgency) + 1;
  const send = (): Promise<readonly string[]> =>
    core.scripts.acquire(
      core.now(),
      id,
      rank,
      core.options.limit,
      core.windowMs,
      core.lastsMs,
      Math.ceil(Math.min(patienceMs, maxPatienceMs)),
      uuid(),
    );
  const first = await send();
  if (first[0] !== 'rebuild') return first;
  await rebuild(core, first[1] ?? '');
  return send();
}

/** Long enough for every wait; keeps Infinity out of the script. */
const maxPatienceMs = 3_600_000;

async function rebuild(core: Core, token: string): Promise<void> {
  const { ledger, key, log } = core.options;
  // Rows count from the call's end; a call that was granted within the window and still runs ends later.
  const { calls, blockedForMs } = await core.ledgerCall(
    ledger.recent({ budgetKey: key, windowMs: core.windowMs }),
  );
  const rows = calls.flatMap((call) => [call.id, Math.ceil(call.countedInMs)]);
  const [done] = await core.scripts.rebuild(core.now(), token, Math.max(0, Math.ceil(blockedForMs)), ...rows);
  if (done === '1') log.info({ budget: key, calls: calls.length }, 'the budget was rebuilt from the ledger');
}

/** Takes a grant back that was not used. Safe whether or not it was ever written. */
async function forget(core: Core, id: string): Promise<void> {
  const results = await Promise.allSettled([
    core.scripts.release(id),
    core.ledgerCall(core.options.ledger.remove(id)),
  ]);
  const failed = results.find((result) => result.status === 'rejected');
  // Then it counts as if it had been used, until it is over.
  if (failed !== undefined) warn(core, failed.reason, 'an unused grant could not be taken back');
}

function createGrant(core: Core, id: string, since: Stopwatch): Grant {
  let ended = false;
  return {
    id,
    since,
    lastsMs: core.lastsMs,
    async settle(outcome) {
      if (ended) return;
      ended = true;
      await settle(core, id, outcome);
    },
    async release() {
      if (ended) return;
      ended = true;
      await forget(core, id);
    },
  };
}

async function settle(core: Core, id: string, outcome: CallOutcome): Promise<void> {
  // Without an answer the upstream may count the call later than we gave it up: then the first score stands.
  const answered = outcome !== 'unanswered';
  const results = await Promise.allSettled([
    answered ? core.scripts.settle(core.now(), id) : undefined,
    core.ledgerCall(core.options.ledger.settle({ id, outcome, answered })),
  ]);
  const failed = results.find((result) => result.status === 'rejected');
  if (failed !== undefined) warn(core, failed.reason, 'the end of a call was not stored');
}

/** Undefined when the state in Redis was lost. */
async function readStatus(core: Core): Promise<BudgetStatus | undefined> {
  const { limit } = core.options;
  const reply = await core.scripts.status(core.now(), limit, core.windowMs);
  const [ready = 0, used = 0, nextGrantInMs = 0, spacingMs = 0, blockedForMs = 0] = reply.map(Number);
  if (ready !== 1) return undefined;
  return {
    ready: true,
    limit,
    used,
    available: Math.max(0, limit - used),
    nextGrantInMs,
    spacingMs,
    blockedForMs,
  };
}

/** Reads the state; one that was lost is rebuilt first, by asking for a grant that is given back. */
async function statusOf(core: Core): Promise<BudgetStatus> {
  const { limit } = core.options;
  try {
    const status = await readStatus(core);
    if (status !== undefined) return status;
    const asked = await acquire(core, 'backfill', 0);
    if ('granted' in asked) await asked.granted.release();
    const rebuilt = await readStatus(core);
    if (rebuilt !== undefined) return rebuilt;
  } catch (error) {
    warn(core, error, 'the state of the budget is not known');
  }
  const spacingMs = Math.ceil(core.windowMs / limit);
  return {
    ready: false,
    limit,
    used: limit,
    available: 0,
    nextGrantInMs: unreachableWaitMs,
    spacingMs,
    blockedForMs: 0,
  };
}
