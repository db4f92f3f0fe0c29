/**
 * The budget of a provider for the whole fleet: a log of calls in Redis that decides, and a ledger in Postgres from which a
 * lost log is rebuilt (docs/explanation/adr/0003-budget-counts-calls-until-they-end.md).
 *
 * Why no sliding 60 s at the upstream ever holds more than the limit L. Let g be the time of a grant and c the time at which
 * the upstream counts its call. The score s of a grant is never before c: it is g + callDeadlineMs at first, and the call is
 * aborted by then; it becomes the time at which the response was complete, which is after c. Suppose that L + 1 calls were
 * counted within 60 s, and look at the one among them that was granted last, at t. It was counted at or after t, so the others
 * were counted after t - 60 s, so their scores are above t - 60 s, so the log held L of them at t, and there was no grant.
 * Neither jitter nor duration appears in this, so they need no allowance. The margin covers what a clock cannot: bytes still
 * under way when a call is aborted.
 *
 * Why that survives a wiped Redis. A grant is used only when its row is in the ledger *and*, checked after that, its member is
 * still in the log. If the log is lost later, the rebuild (which reads the ledger after the loss) finds the row. If it was lost
 * before, the member is gone and the grant is withdrawn, unless a rebuild found the row and restored the member.
 *
 * When Redis or Postgres is unavailable, nothing is granted.
 *
 * The month (why it is never exceeded and never dry) is explained with its scripts (budget-scripts.ts). It survives a wiped
 * Redis for the same reason: calls and the sum of credits are read from the ledger in one statement, so a grant that becomes
 * valid is in both or in neither.
 */
import type { Redis } from 'ioredis';
import { v7 as uuid } from 'uuid';
import { messageOf } from '../../../domain/errors.ts';
import { urgencies, type Urgency } from '../../../domain/quote.ts';
import { withDeadline } from '../../../platform/concurrency/deadline.ts';
import type { Logger } from '../../../platform/observability/logger.ts';
import { redisScript, runScript } from '../../../platform/redis/redis-script.ts';
import { startStopwatch, type Stopwatch } from '../call-signal.ts';
import type { UpstreamCallLog } from '../queries/upstream-calls.ts';
import type { AcquireResult, Budget, CallOutcome, Grant, ReportedLimits } from './budget.ts';
import { budgetScripts } from './budget-scripts.ts';
import { monthStarts } from './month.ts';

type Status = Awaited<ReturnType<Budget['status']>>;

/** The durable record of all grants. Redis decides; it is rebuilt from the ledger after a loss of data. */
export type BudgetCallLog = Pick<
  UpstreamCallLog,
  'record' | 'settle' | 'remove' | 'recent' | 'sumHours' | 'storeReportedLimits' | 'block'
>;

const minuteMs = 60_000;
export interface RedisBudgetOptions {
  readonly redis: Redis;
  readonly callLog: BudgetCallLog;
  readonly log: Logger;
  /** Prefix of all keys in Redis. */
  readonly prefix: string;
  /** Name of the budget: one per provider and key. */
  readonly key: string;
  /** Calls in any sliding 60 s. */
  readonly limit: number;
  /** Limits reported by the provider may raise `limit` and replace an absent `month`, instead of only lowering them. */
  readonly assumed?: { readonly limit: boolean; readonly month: boolean };
  /** Credits of a month, which starts on the day `startsOn` (UTC). Absent: no limit. */
  readonly month?: { readonly credits: number };
  /** Day (UTC) on which the provider's month starts. Default 1. */
  readonly monthStartsOn?: number;
  /** Which calls cost credits: all that were sent, those that were not refused, or those answered 200. Default `unless_refused`. */
  readonly charged?: 'always' | 'unless_refused' | 'when_successful';
  /** Time after the request for its grant at which a call is aborted. At most 60 s. Default 15 s. */
  readonly callDeadlineMs?: number;
  /** Added to the window. Default 500 ms. */
  readonly marginMs?: number;
  /** Deadline of a command to Redis. Default 1 s. */
  readonly redisTimeoutMs?: number;
  /** Deadline of a statement to Postgres. Default 2 s. */
  readonly callLogTimeoutMs?: number;
  /** Time instead of Redis's own, for tests. Milliseconds. */
  readonly now?: () => number;
}

const maxCallDeadlineMs = 60_000;
/** How long to wait (ms) before asking again when Redis or Postgres was unavailable. */
const unreachableWaitMs = 1_000;

/** The names in Redis of a budget's log and state; the braces keep them on one node of a cluster. */
export function budgetKeys(prefix: string, key: string): { readonly log: string; readonly state: string } {
  return { log: `${prefix}:budget:{${key}}:log`, state: `${prefix}:budget:{${key}}:state` };
}

type Core = ReturnType<typeof createCore>;

/**
 * Checks the options and binds the scripts.
 * @throws {RangeError} when the limit is not a whole number above 0, or the deadline of a call is out of its range.
 */
function createCore(options: RedisBudgetOptions) {
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
  const ledgerMs = options.callLogTimeoutMs ?? 2_000;
  const bind = (lua: string): Script =>
    bindScript(options.redis, lua, { keys: [keys.log, keys.state], timeoutMs });
  return {
    options,
    lastsMs,
    windowMs: minuteMs + (options.marginMs ?? 500),
    keys,
    scripts: {
      acquire: bind(budgetScripts.acquire),
      rebuild: bind(budgetScripts.rebuild),
      settle: bind(budgetScripts.settle),
      release: bind(budgetScripts.release),
      block: bind(budgetScripts.block),
      report: bind(budgetScripts.report),
      status: bind(budgetScripts.status),
    },
    /** Limits and starts of months, as the scripts take them. */
    terms: (): string => termsOf(options),
    /** Outcomes of calls that cost no credits. */
    free: freeOutcomes[options.charged ?? 'unless_refused'],
    now: (): string => (options.now === undefined ? '' : String(options.now())),
    redisCall: <T>(command: Promise<T>): Promise<T> => withDeadline(command, timeoutMs, 'Redis'),
    ledgerMs,
    callLogStatement: <T>(statement: Promise<T>): Promise<T> =>
      withDeadline(statement, ledgerMs, 'the ledger'),
  };
}

/** Logs a problem that the budget can handle. */
function warn(core: Core, error: unknown, message: string): void {
  core.options.log.warn({ budget: core.options.key, reason: messageOf(error) }, message);
}

const refused: readonly CallOutcome[] = ['rate_limited', 'rejected', 'url_too_long'];

/** A call without an answer, or with one that could not be used, may have been charged in any case. */
const freeOutcomes: Readonly<Record<NonNullable<RedisBudgetOptions['charged']>, readonly CallOutcome[]>> = {
  always: [],
  unless_refused: refused,
  when_successful: [...refused, 'server_error'],
};

function termsOf({ limit, assumed, month, monthStartsOn = 1, now = Date.now }: RedisBudgetOptions): string {
  const flag = (is: boolean | undefined): number => (is === true ? 1 : 0);
  const begins = monthStarts(now(), monthStartsOn);
  return [limit, flag(assumed?.limit), month?.credits ?? 0, flag(assumed?.month), ...begins].join(',');
}

/** A Lua script bound to its keys. Resolves with the reply as texts, whatever types Redis answered with. */
type Script = (...args: readonly (string | number)[]) => Promise<readonly string[]>;

/** Binds a script. A call that times out may still run later: its command stays in the client's queue. */
function bindScript(
  redis: Redis,
  lua: string,
  { keys, timeoutMs }: { readonly keys: readonly string[]; readonly timeoutMs: number },
): Script {
  const script = redisScript(lua);
  return async (...args) => {
    const reply = await withDeadline(
      runScript(redis, script, { keys, args }),
      timeoutMs,
      'a script of the budget',
    );
    return (Array.isArray(reply) ? reply : [reply]).map(String);
  };
}

/** More credits than any call costs; a whole number is what Redis counts in. */
const maxCredits = 10_000;

/**
 * Builds the budget.
 * @throws {RangeError} when the limit is not a whole number above 0, or the deadline of a call is out of its range.
 */
export function createRedisBudget(options: RedisBudgetOptions): Budget {
  const core = createCore(options);
  const { scripts, now } = core;
  /** The provider's block as this process knows it: applies even if it could not be stored in Redis. */
  let blocked: { since: Stopwatch; ms: number } | undefined;
  const blockedHereMs = (): number => (blocked === undefined ? 0 : blocked.ms - blocked.since.elapsedMs());

  return {
    key: options.key,
    async tryAcquire(urgency, patienceMs = minuteMs, credits = 1) {
      const localMs = options.now === undefined ? blockedHereMs() : 0;
      if (localMs > 0) return { waitMs: Math.ceil(localMs), reason: 'blocked' };
      return acquire(core, { urgency, patienceMs, credits });
    },
    async block(ms) {
      if (ms > blockedHereMs()) blocked = { since: startStopwatch(), ms };
      const reported = scripts.block(now(), Math.ceil(ms));
      const written = core.callLogStatement(options.callLog.block({ budgetKey: options.key, ms }));
      for (const result of await Promise.allSettled([reported, written])) {
        if (result.status === 'rejected')
          warn(
            core,
            result.reason,
            'the provider asked to pause, and other processes may not know: the pause was not stored (check Redis and Postgres)',
          );
      }
    },
    applyReportedLimits: (reported) => applyReportedLimits(core, reported),
    status: () => statusOf(core),
  };
}

interface Wanted {
  readonly urgency: Urgency;
  readonly patienceMs: number;
  readonly credits: number;
}

async function acquire(core: Core, wanted: Wanted): Promise<AcquireResult> {
  if (!Number.isInteger(wanted.credits) || wanted.credits < 0 || wanted.credits > maxCredits) {
    throw new RangeError(`A call costs a whole number of credits, not ${wanted.credits}`);
  }
  const since = startStopwatch();
  const id = uuid();
  try {
    const [answer, detail, reason] = await ask(core, id, wanted);
    if (answer === 'wait') return { waitMs: Number(detail), reason: reasonOf(reason) };
    if (answer !== 'granted') return { waitMs: 250, reason: 'unreachable' };
    const { callLog, key, redis } = core.options;
    await core.callLogStatement(
      callLog.record({ id, budgetKey: key, lastsMs: core.lastsMs, credits: wanted.credits }),
    );
    const member = await core.redisCall(redis.zscore(core.keys.log, id));
    if (member !== null) return { granted: createGrant(core, id, since) };
    warn(
      core,
      'the call is not in its log',
      'Redis lost its record of upstream calls (restart or failover?): one call was not made; it is retried',
    );
    void forget(core, id);
    return { waitMs: 50, reason: 'unreachable' };
  } catch (error) {
    warn(
      core,
      error,
      'the call budget cannot be checked: no upstream calls are made until Redis and Postgres answer',
    );
    void forget(core, id);
    return { waitMs: unreachableWaitMs, reason: 'unreachable' };
  }
}

function reasonOf(reason: string | undefined): 'window' | 'paced' | 'blocked' | 'month' {
  return reason === 'window' || reason === 'blocked' || reason === 'month' ? reason : 'paced';
}

/** Asks the script, and once more after a rebuild when the log was lost. */
async function ask(
  core: Core,
  id: string,
  { urgency, patienceMs, credits }: Wanted,
): Promise<readonly string[]> {
  const rank = urgencies.indexOf(urgency) + 1;
  const send = (): Promise<readonly string[]> =>
    core.scripts.acquire(
      core.now(),
      id,
      rank,
      core.terms(),
      core.windowMs,
      core.lastsMs,
      Math.ceil(Math.min(patienceMs, maxPatienceMs)),
      uuid(),
      credits,
    );
  const first = await send();
  if (first[0] !== 'rebuild') return first;
  await rebuild(core, first[1] ?? '', Number(first[2]));
  return send();
}

/** Long enough for every wait; keeps Infinity out of the script. */
const maxPatienceMs = 3_600_000;

/** Two clocks are compared here, so rows from this long (ms) before the month count too. The scripts allow half of it. */
const monthGuardMs = 60_000;

async function rebuild(core: Core, token: string, monthStart: number): Promise<void> {
  const { callLog, key, log } = core.options;
  // After an upgrade no hour of the month is summed, and all rows of it at once would take too long: each try sums some.
  const isSummed = await core.callLogStatement(callLog.sumHours(core.ledgerMs / 2));
  if (!isSummed) throw new Error('the ledger of the month is still being summed');
  // Rows count from the call's end; a call that was granted within the window and is still running ends later.
  const found = await core.callLogStatement(
    callLog.recent({
      budgetKey: key,
      windowMs: core.windowMs,
      creditsSince: new Date(monthStart - monthGuardMs),
      free: core.free,
    }),
  );
  const { calls, reported } = found;
  const rows = calls.flatMap((call) => [call.id, Math.ceil(call.countedInMs), call.credits]);
  const [done] = await core.scripts.rebuild(
    core.now(),
    token,
    Math.max(0, Math.ceil(found.blockedForMs)),
    core.terms(),
    monthStart,
    found.credits,
    reported?.callsPerMinute ?? '',
    reported?.creditsPerMonth ?? '',
    ...rows,
  );
  const { credits } = found;
  if (done === '1')
    log.info(
      { budget: key, calls: calls.length, credits },
      'Redis had no record of upstream calls (new or emptied): rebuilt from the call log in Postgres; the budget stays exact',
    );
}

/** Returns a grant that was not used. Safe whether or not it was ever written. */
async function forget(core: Core, id: string): Promise<void> {
  const results = await Promise.allSettled([
    core.scripts.release(id),
    core.callLogStatement(core.options.callLog.remove(id)),
  ]);
  const failed = results.find((result) => result.status === 'rejected');
  // Otherwise it counts as used until it is over.
  if (failed !== undefined)
    warn(
      core,
      failed.reason,
      'an upstream call was not made, but could not be removed from the budget: it counts as used for a while',
    );
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
  // Without an answer, the upstream may count the call after we gave it up: then the first score stays.
  const answered = outcome !== 'unanswered';
  const free = core.free.includes(outcome);
  const limited = outcome === 'rate_limited';
  const results = await Promise.allSettled([
    answered
      ? core.scripts.settle(core.now(), id, 1, Number(free), Number(limited), core.terms(), core.lastsMs)
      : undefined,
    core.callLogStatement(core.options.callLog.settle({ id, outcome, answered })),
  ]);
  const failed = results.find((result) => result.status === 'rejected');
  if (failed !== undefined)
    warn(
      core,
      failed.reason,
      'the end of an upstream call was not stored (check Redis and Postgres): it counts against the budget until its time is over',
    );
}

async function applyReportedLimits(
  core: Core,
  { callsPerMinute, creditsPerMonth, spent, agoMs }: ReportedLimits,
): Promise<void> {
  const { callLog, key, log } = core.options;
  try {
    const lookBackMs = Math.ceil(agoMs) + core.windowMs - minuteMs;
    const [answer = 'lost'] = await core.scripts.report(
      core.now(),
      core.terms(),
      callsPerMinute ?? '',
      creditsPerMonth ?? '',
      spent ?? '',
      lookBackMs,
    );
    const credits = answer === 'lost' ? 0 : Number(answer);
    if (credits > 0)
      log.warn(
        { budget: key, credits },
        'the provider counts more credits than Pricepool used: something else uses the same API key; the difference now counts against the budget',
      );
    await core.callLogStatement(
      callLog.storeReportedLimits({
        budgetKey: key,
        callsPerMinute,
        creditsPerMonth,
        others: { id: uuid(), credits },
      }),
    );
  } catch (error) {
    warn(
      core,
      error,
      'the limits that the provider reported were not stored (check Redis and Postgres); the configured ones stay in use',
    );
  }
}

/** Reads the state; a lost one is rebuilt first, by asking for a grant that is then returned. */
async function statusOf(core: Core): Promise<Status> {
  try {
    const status = await readStatus(core);
    if (status !== undefined) return status;
    const requested = await acquire(core, { urgency: 'backfill', patienceMs: 0, credits: 1 });
    if ('granted' in requested) await requested.granted.release();
    const rebuilt = await readStatus(core);
    if (rebuilt !== undefined) return rebuilt;
  } catch (error) {
    warn(core, error, 'the state of the call budget cannot be read (check Redis and Postgres)');
  }
  return statusUnknown(core);
}

/** Reads the state of the budget; undefined when the one in Redis was lost. */
async function readStatus(core: Core): Promise<Status | undefined> {
  const reply = await core.scripts.status(core.now(), core.terms(), core.windowMs);
  const [ready, foretold = '', ...numbers] = reply;
  if (ready !== '1') return undefined;
  const [used = 0, nextGrantInMs = 0, spacingMs = 0, blockedForMs = 0, limit = 0, fullLimit = 0] =
    numbers.map(Number);
  const [perMinute = 0, now = 0] = numbers.slice(6).map(Number);
  const month = monthOf(numbers.slice(8).map(Number));
  const left = Math.max(0, limit - used);
  return {
    ready: true,
    limit,
    fullLimit,
    used,
    available: month === null ? left : Math.min(left, Math.floor(month.atHand.interactive)),
    nextGrantInMs,
    grantsInMs: foretold.split(',').map(Number),
    spacingMs,
    blockedForMs,
    spare: { perMinute, now },
    month,
  };
}

/** Numbers in the order of the script's reply. */
function monthOf(reply: readonly number[]): Status['month'] {
  const at = (index: number): number => reply[index] ?? 0;
  const [credits, spent, endsAt, spentPerHour, now] = [at(0), at(1), at(3), at(4), at(5)];
  if (credits === 0) return null;
  const left = Math.max(0, credits - spent);
  const emptyAt = spentPerHour > 0 ? now + (left / spentPerHour) * 3_600_000 : Infinity;
  return {
    credits,
    spent,
    left,
    reserve: at(6),
    startsAt: at(2),
    endsAt,
    spentPerHour,
    affordablePerHour: at(7),
    atHand: { interactive: at(8), stream: at(9), warming: at(10), backfill: at(11) },
    lastsUntil: emptyAt < endsAt ? emptyAt : null,
  };
}

/** The status reported while Redis or the ledger is unavailable. */
function statusUnknown(core: Core): Status {
  const { limit } = core.options;
  return {
    ready: false,
    limit,
    fullLimit: limit,
    used: limit,
    available: 0,
    nextGrantInMs: unreachableWaitMs,
    grantsInMs: [],
    spacingMs: Math.ceil(core.windowMs / limit),
    blockedForMs: 0,
    spare: { perMinute: 0, now: 0 },
    month: null,
  };
}
