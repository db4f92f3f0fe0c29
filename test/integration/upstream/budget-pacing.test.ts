/** Minutes of a busy fleet in milliseconds: real scripts in a real Redis, on a clock that jumps from event to event. */
import { expect } from 'chai';
import { Redis } from 'ioredis';
import type { Urgency } from '../../../src/domain/quote.ts';
import { silentLogger } from '../../../src/platform/observability/logger.ts';
import { createRedisBudget } from '../../../src/features/upstream/budget/redis-budget.ts';
import { flushPrefix, uniquePrefix } from '../../support/redis.ts';
import { services } from '../../support/services.ts';
import { createMemoryLedger } from './memory-ledger.ts';

interface Asker {
  readonly urgency: Urgency;
  /** Pause after a grant until it wants the next one; 0 for one that always wants. */
  readonly pauseMs: () => number;
  nextAt: number;
  wantsSince: number;
}

interface Minutes {
  readonly grants: readonly { readonly at: number; readonly urgency: Urgency; readonly waitMs: number }[];
  /** Grants a minute from the second minute on. */
  readonly perMinute: number;
  worstWaitMs(urgency: Urgency): number;
}

/** Same numbers in every run. */
function createRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 1_664_525 + 1_013_904_223) % 2 ** 32;
    return state / 2 ** 32;
  };
}

const minuteMs = 60_000;
const minutes = 6;

describe('pacing of the budget', function () {
  this.timeout(60_000);
  const prefix = uniquePrefix();
  const random = createRandom(7);
  let redis: Redis;
  let runs = 0;
  before(async () => {
    redis = new Redis((await services()).redisUrl);
  });
  after(async () => {
    await flushPrefix(redis, prefix);
    redis.disconnect();
  });

  const always = (urgency: Urgency): Asker => ({ urgency, pauseMs: () => 0, nextAt: 0, wantsSince: 0 });
  const every = (urgency: Urgency, ms: number): Asker => ({
    urgency,
    pauseMs: () => ms * (0.5 + random()),
    nextAt: ms * random(),
    wantsSince: 0,
  });

  /** Plays the askers; each comes back when it was told, some milliseconds late, and its call takes 150 ms or so. */
  async function play(limit: number, askers: readonly Asker[]): Promise<Minutes> {
    const start = Date.parse('2027-01-01T00:00:00Z');
    let time = start;
    const now = (): number => Math.floor(time);
    const callLog = createMemoryLedger(now);
    runs += 1;
    const key = `pace${runs}`;
    const budget = createRedisBudget({ redis, callLog, log: silentLogger(), prefix, key, limit, now });
    const grants: { at: number; urgency: Urgency; waitMs: number }[] = [];
    const ends: { at: number; end: () => Promise<void> }[] = [];
    for (const asker of askers) asker.wantsSince = asker.nextAt = start + asker.nextAt;
    for (;;) {
      const next = [...askers].sort((a, b) => a.nextAt - b.nextAt)[0]!;
      ends.sort((a, b) => a.at - b.at);
      const due = ends[0] !== undefined && ends[0].at <= next.nextAt ? ends.shift() : undefined;
      if (due !== undefined) {
        time = due.at;
        await due.end();
        continue;
      }
      time = next.nextAt;
      if (time >= start + minutes * minuteMs) break;
      const result = await budget.tryAcquire(next.urgency);
      if ('granted' in result) {
        grants.push({ at: time - start, urgency: next.urgency, waitMs: time - next.wantsSince });
        ends.push({ at: time + 100 + 100 * random(), end: () => result.granted.settle('ok') });
        next.nextAt = time + 5 + next.pauseMs();
        next.wantsSince = next.nextAt;
      } else next.nextAt = time + Math.min(result.waitMs, 2_000) + 10 * random();
    }
    const later = grants.filter(({ at }) => at >= minuteMs);
    return {
      grants,
      perMinute: later.length / (minutes - 1),
      worstWaitMs: (urgency) =>
        Math.max(...later.filter((grant) => grant.urgency === urgency).map((grant) => grant.waitMs)),
    };
  }

  for (const limit of [10, 30, 100]) {
    const promisedMs = (2 * minuteMs) / limit + 250;

    it(`serves a user at once beside a saturated background, at ${limit} a minute`, async () => {
      const background = [
        always('warming'),
        always('warming'),
        always('backfill'),
        always('stream'),
        always('stream'),
      ];
      const played = await play(limit, [
        ...background,
        every('interactive', (5 * minuteMs) / limit),
        every('interactive', (5 * minuteMs) / limit),
      ]);
      expect(played.worstWaitMs('interactive')).to.be.below(promisedMs);
      expect(played.perMinute).to.be.at.least(0.95 * limit);
    });

    it(`loses nothing of ${limit} a minute to pacing when users alone want it all`, async () => {
      const played = await play(limit, [always('interactive'), always('interactive'), always('interactive')]);
      expect(played.perMinute).to.be.at.least(0.95 * limit);
      const gaps = played.grants.map(({ at }, i) => at - (played.grants[i - 1]?.at ?? at));
      expect(Math.max(...gaps), 'no user waits a minute behind a crowd').to.be.below(2.5 * promisedMs);
    });

    it(`leaves a part of ${limit} a minute free of warming and backfill`, async () => {
      const warming = await play(limit, [always('warming'), always('backfill')]);
      expect(warming.perMinute).to.be.within(0.45 * limit, 0.51 * limit);
      const backfill = await play(limit, [always('backfill')]);
      expect(backfill.perMinute).to.be.within(0.35 * limit, 0.41 * limit);
    });
  }
});
