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
 *
 * The month (why it is never exceeded and never dry) is at the head of month-script.ts. It survives a wiped Redis for the
 * same reason: calls and the sum of credits are read from the ledger in one statement, so a grant that becomes
 * valid is in both or in none.
 */
import { v7 as uuid } from 'uuid';
import { urgencies, type Urgency } from '../../../domain/quote.ts';
import { startStopwatch, type Stopwatch } from '../call-signal.ts';
import type { AcquireResult, Budget, BudgetStatus, CallOutcome, Grant, ToldLimits } from './budget.ts';
import { createCore, unreachableWaitMs, warn, type Core, type RedisBudgetOptions } from './budget-core.ts';
import { readStatus, statusUnknown } from './read-status.ts';

export { budgetKeys, type RedisBudgetOptions } from './budget-core.ts';

const minuteMs = 60_000;
/** More credits than any call costs; a whole number is what Redis counts in. */
const mostCredits = 10_000;

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
    async tryAcquire(urgency, patienceMs = minuteMs, credits = 1) {
      const localMs = options.now === undefined ? blockedHereMs() : 0;
      if (localMs > 0) return { waitMs: Math.ceil(localMs), reason: 'blocked' };
      return acquire(core, { urgency, patienceMs, credits });
    },
    async block(ms) {
      if (ms > blockedHereMs()) blocked = { since: startStopwatch(), ms };
      const told = scripts.block(now(), Math.ceil(ms));
      const written = core.ledgerCall(options.ledger.block({ budgetKey: options.key, ms }));
      for (const result of await Promise.allSettled([told, written])) {
        if (result.status === 'rejected') warn(core, result.reason, 'a block of the budget was not stored');
      }
    },
    tell: (told) => tell(core, told),
    status: () => statusOf(core),
  };
}

interface Wish {
  readonly urgency: Urgency;
  readonly patienceMs: number;
  readonly credits: number;
}

async function acquire(core: Core, wish: Wish): Promise<AcquireResult> {
  if (!Number.isInteger(wish.credits) || wish.credits < 0 || wish.credits > mostCredits) {
    throw new RangeError(`A call costs a whole number of credits, not ${wish.credits}`);
  }
  const since = startStopwatch();
  const id = uuid();
  try {
    const [answer, detail, reason] = await ask(core, id, wish);
    if (answer === 'wait') return { waitMs: Number(detail), reason: reasonOf(reason) };
    if (answer !== 'granted') return { waitMs: 250, reason: 'unreachable' };
    const { ledger, key, redis } = core.options;
    await core.ledgerCall(
      ledger.record({ id, budgetKey: key, lastsMs: core.lastsMs, credits: wish.credits }),
    );
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

function reasonOf(reason: string | undefined): 'window' | 'paced' | 'blocked' | 'month' {
  return reason === 'window' || reason === 'blocked' || reason === 'month' ? reason : 'paced';
}

/** Asks the script, and once more after a rebuild when the log was lost. */
async function ask(
  core: Core,
  id: string,
  { urgency, patienceMs, credits }: Wish,
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

/** Two clocks are compared here: rows of so much (ms) before the month count too. The scripts allow half of it. */
const monthGuardMs = 60_000;

async function rebuild(core: Core, token: string, monthBegin: number): Promise<void> {
  const { ledger, key, log } = core.options;
  // Rows count from the call's end; a call that was granted within the window and still runs ends later.
  const found = await core.ledgerCall(
    ledger.recent({
      budgetKey: key,
      windowMs: core.windowMs,
      creditsSince: new Date(monthBegin - monthGuardMs),
      free: core.free,
    }),
  );
  const { calls, told } = found;
  const rows = calls.flatMap((call) => [call.id, Math.ceil(call.countedInMs), call.credits]);
  const [done] = await core.scripts.rebuild(
    core.now(),
    token,
    Math.max(0, Math.ceil(found.blockedForMs)),
    core.terms(),
    monthBegin,
    found.credits,
    told?.callsPerMinute ?? '',
    told?.creditsPerMonth ?? '',
    ...rows,
  );
  const { credits } = found;
  if (done === '1')
    log.info({ budget: key, calls: calls.length, credits }, 'the budget was rebuilt from the ledger');
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
  const free = core.free.includes(outcome);
  const limited = outcome === 'rate_limited';
  const results = await Promise.allSettled([
    answered
      ? core.scripts.settle(core.now(), id, 1, Number(free), Number(limited), core.terms(), core.lastsMs)
      : undefined,
    core.ledgerCall(core.options.ledger.settle({ id, outcome, answered })),
  ]);
  const failed = results.find((result) => result.status === 'rejected');
  if (failed !== undefined) warn(core, failed.reason, 'the end of a call was not stored');
}

async function tell(
  core: Core,
  { callsPerMinute, creditsPerMonth, spent, agoMs }: ToldLimits,
): Promise<void> {
  const { ledger, key, log } = core.options;
  try {
    const lookBackMs = Math.ceil(agoMs) + core.windowMs - minuteMs;
    const [answer = 'lost'] = await core.scripts.tell(
      core.now(),
      core.terms(),
      callsPerMinute ?? '',
      creditsPerMonth ?? '',
      spent ?? '',
      lookBackMs,
    );
    const credits = answer === 'lost' ? 0 : Number(answer);
    if (credits > 0) log.warn({ budget: key, credits }, 'others have spent credits of the same key');
    await core.ledgerCall(
      ledger.tell({ budgetKey: key, callsPerMinute, creditsPerMonth, others: { id: uuid(), credits } }),
    );
  } catch (error) {
    warn(core, error, 'what the provider told of its limits was not stored');
  }
}

/** Reads the state; one that was lost is rebuilt first, by asking for a grant that is given back. */
async function statusOf(core: Core): Promise<BudgetStatus> {
  try {
    const status = await readStatus(core);
    if (status !== undefined) return status;
    const asked = await acquire(core, { urgency: 'backfill', patienceMs: 0, credits: 1 });
    if ('granted' in asked) await asked.granted.release();
    const rebuilt = await readStatus(core);
    if (rebuilt !== undefined) return rebuilt;
  } catch (error) {
    warn(core, error, 'the state of the budget is not known');
  }
  return statusUnknown(core);
}
