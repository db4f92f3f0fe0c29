/**
 * A month of a fleet in seconds: the real scripts in a real Redis, on a clock that jumps from event to event. Users ask in
 * bursts, streams and warming and backfill want more than there is, calls fail at times, and the provider keeps a count of its own.
 */
import type { Redis } from 'ioredis';
import { urgencies, type Urgency } from '../../src/domain/quote.ts';
import { silentLogger } from '../../src/platform/observability/logger.ts';
import type { Budget, CallOutcome, Grant } from '../../src/features/upstream/budget/budget.ts';
import { budgetKeys, createRedisBudget } from '../../src/features/upstream/budget/redis-budget.ts';
import { createMemoryLedger } from '../integration/upstream/memory-ledger.ts';
import { createRandom, dayMs, interactiveArrivals, type Random } from './month-demand.ts';

export interface MonthOptions {
  readonly redis: Redis;
  readonly prefix: string;
  readonly from: number;
  readonly until: number;
  readonly creditsPerMonth: number;
  readonly callsPerMinute: number;
  /** Credits that the ledger knows of at the begin. */
  readonly spentBefore?: number;
  /** Calls that users wait for, on a usual day. */
  readonly interactivePerDay: number;
  /** A user who waits longer has been refused. */
  readonly patienceMs: number;
  /** Redis forgets everything at these moments. */
  readonly wipesAt?: readonly number[];
  /** The provider's clock is so much ahead of ours. */
  readonly skewMs?: number;
}

/** What happened on one day. */
export interface SimulatedDay {
  readonly begins: number;
  readonly calls: Record<Urgency, number>;
  refusals: number;
  longestWaitMs: number;
  creditsLeft: number;
  reserve: number;
  readonly ages: number[];
}

export interface SimulatedMonth {
  readonly days: readonly SimulatedDay[];
  /** Credits by the provider's own count, by its month (`2027-04`). */
  readonly counted: ReadonlyMap<string, number>;
  /** Most calls that the provider counted in any 60 s. */
  readonly busiestMinute: number;
  /** Moments (looked at every 10 minutes) at which nothing was left. */
  readonly dryAt: readonly number[];
}

/** So many batches of 250 hot assets are wanted as fresh as they can be had. */
const hotBatches = 4;
const pollIntervalMs = 600_000;
const maxSleepMs = 600_000;

interface Asker {
  readonly urgency: Urgency;
  readonly budget: Budget;
  nextAt: number;
  /** When the user whom this asks for came; the others always want. */
  since: number;
}

interface End {
  readonly at: number;
  readonly end: () => Promise<void>;
}

/** Plays the month. */
export async function simulateMonth(options: MonthOptions): Promise<SimulatedMonth> {
  return new Simulation(options).run();
}

class Simulation {
  readonly #options: MonthOptions;
  readonly #random: Random = createRandom(11);
  readonly #days: SimulatedDay[] = [];
  readonly #counted = new Map<string, number>();
  readonly #arrivals: number[] = [];
  readonly #dryAt: number[] = [];
  readonly #freshAt: number[];
  readonly #users: number[];
  readonly #askers: readonly Asker[];
  readonly #wipes: number[];
  #ends: End[] = [];
  #time: number;
  #lookAt: number;

  constructor(options: MonthOptions) {
    this.#options = options;
    this.#time = options.from;
    this.#lookAt = options.from;
    this.#freshAt = Array.from({ length: hotBatches }, () => options.from);
    this.#users = interactiveArrivals(options, this.#random);
    this.#wipes = [...(options.wipesAt ?? [])];
    const now = (): number => Math.floor(this.#time);
    const callLog = createMemoryLedger(now);
    if (options.spentBefore !== undefined)
      callLog.rows.set('before', {
        countedUntil: now() - 120_000,
        outcome: 'ok',
        credits: options.spentBefore,
      });
    // Two processes.
    const budgets = [0, 1].map(() =>
      createRedisBudget({
        redis: options.redis,
        callLog,
        log: silentLogger(),
        prefix: options.prefix,
        key: 'month',
        limit: options.callsPerMinute,
        month: { credits: options.creditsPerMonth },
        now,
      }),
    );
    const asker = (urgency: Urgency, process: number): Asker => {
      const first = urgency === 'interactive' ? (this.#users.shift() ?? Infinity) : options.from;
      return { urgency, budget: budgets[process]!, nextAt: first, since: first };
    };
    this.#askers = [
      asker('interactive', 0),
      asker('interactive', 1),
      asker('stream', 0),
      asker('warming', 1),
      asker('backfill', 1),
    ];
  }

  async run(): Promise<SimulatedMonth> {
    for (;;) {
      const asker = this.#askers.reduce((a, b) => (b.nextAt < a.nextAt ? b : a));
      const end = this.#ends.reduce<End | undefined>(
        (a, b) => (a === undefined || b.at < a.at ? b : a),
        undefined,
      );
      const at = Math.min(asker.nextAt, end?.at ?? Infinity, this.#lookAt);
      if (at >= this.#options.until) break;
      this.#time = at;
      await this.#wipeWhenDue();
      if (at === end?.at) {
        this.#ends = this.#ends.filter((each) => each !== end);
        await end.end();
      } else if (at === this.#lookAt) await this.#poll();
      else await this.#ask(asker);
    }
    return { days: this.#days, counted: this.#counted, busiestMinute: this.#busiest(), dryAt: this.#dryAt };
  }

  get #day(): SimulatedDay {
    const begins = Math.floor(this.#time / dayMs) * dayMs;
    const last = this.#days.at(-1);
    if (last?.begins === begins) return last;
    const calls = { interactive: 0, stream: 0, warming: 0, backfill: 0 };
    const day = { begins, calls, refusals: 0, longestWaitMs: 0, creditsLeft: 0, reserve: 0, ages: [] };
    this.#days.push(day);
    return day;
  }

  async #wipeWhenDue(): Promise<void> {
    if (this.#wipes[0] === undefined || this.#time < this.#wipes[0]) return;
    this.#wipes.shift();
    const { log, state } = budgetKeys(this.#options.prefix, 'month');
    await this.#options.redis.del(log, state);
  }

  async #ask(asker: Asker): Promise<void> {
    const { patienceMs } = this.#options;
    const interactive = asker.urgency === 'interactive';
    const left = interactive ? patienceMs - (this.#time - asker.since) : 1_000;
    const result = await asker.budget.tryAcquire(asker.urgency, Math.max(0, left));
    if ('granted' in result) {
      this.#call(asker.urgency, result.granted);
      if (interactive) this.#day.longestWaitMs = Math.max(this.#day.longestWaitMs, this.#time - asker.since);
      this.#next(asker);
      return;
    }
    if (interactive && result.waitMs > left) {
      this.#day.refusals += 1;
      this.#day.longestWaitMs = Math.max(this.#day.longestWaitMs, this.#time - asker.since + result.waitMs);
      this.#next(asker);
      return;
    }
    asker.nextAt = this.#time + Math.min(Math.max(1, result.waitMs), maxSleepMs) + 10 * this.#random();
  }

  #next(asker: Asker): void {
    if (asker.urgency === 'interactive') asker.since = this.#users.shift() ?? Infinity;
    else asker.since = this.#time + 1_000;
    asker.nextAt = Math.max(asker.since, this.#time + 5);
  }

  #call(urgency: Urgency, grant: Grant): void {
    this.#day.calls[urgency] += 1;
    const durationMs = 100 + 500 * this.#random();
    const fate = this.#random();
    const outcome: CallOutcome =
      fate < 0.004 ? 'unanswered' : fate < 0.008 ? 'server_error' : fate < 0.01 ? 'rate_limited' : 'ok';
    const arrivesAt = this.#time + this.#random() * (outcome === 'unanswered' ? grant.lastsMs : durationMs);
    this.#arrivals.push(arrivesAt);
    if (outcome !== 'rate_limited') {
      const month = new Date(arrivesAt + (this.#options.skewMs ?? 0)).toISOString().slice(0, 7);
      this.#counted.set(month, (this.#counted.get(month) ?? 0) + 1);
    }
    const batch = this.#batchFor(urgency);
    const at = this.#time + durationMs;
    const end = async (): Promise<void> => {
      if (outcome === 'ok' && batch !== undefined) this.#freshAt[batch] = at;
      await grant.settle(outcome);
    };
    this.#ends.push({ at, end });
  }

  /** Streams show the hottest, warming takes the oldest, users want the hotter ones more often. */
  #batchFor(urgency: Urgency): number | undefined {
    if (urgency === 'backfill') return undefined;
    if (urgency === 'stream') return 0;
    if (urgency === 'interactive') return Math.floor(hotBatches * this.#random() ** 2);
    return this.#freshAt.indexOf(Math.min(...this.#freshAt));
  }

  async #poll(): Promise<void> {
    this.#lookAt += pollIntervalMs;
    const status = await this.#askers[0]!.budget.status();
    const day = this.#day;
    day.ages.push(...this.#freshAt.map((at) => this.#time - at));
    if (status.month === null) return;
    day.creditsLeft = status.month.left;
    day.reserve = status.month.reserve;
    if (status.month.left < 1) this.#dryAt.push(this.#time);
  }

  #busiest(): number {
    const sorted = [...this.#arrivals].sort((a, b) => a - b);
    let most = 0;
    let first = 0;
    sorted.forEach((at, i) => {
      while ((sorted[first] ?? at) <= at - 60_000) first += 1;
      most = Math.max(most, i - first + 1);
    });
    return most;
  }
}

/** Sum of all calls of a day. */
export function callsOf(day: SimulatedDay): number {
  return urgencies.reduce((sum, urgency) => sum + day.calls[urgency], 0);
}
