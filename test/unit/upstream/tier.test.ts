import { expect } from 'chai';
import { freshnessAffordable } from '../../../src/features/upstream/budget/forecast.ts';
import { parseKeyResponse } from '../../../src/features/upstream/budget/tier.ts';
import { primaryLimits } from '../../../src/platform/config/upstream-limits.ts';
import { loadConfig } from '../../../src/platform/config/load-config.ts';
import { etaSeconds } from '../../../src/features/jobs/eta.ts';

describe('what /key tells', () => {
  const account = {
    plan: 'Analyst',
    rate_limit_request_per_minute: 500,
    monthly_call_credit: 500_000,
    current_total_monthly_calls: 1_200,
    current_remaining_monthly_calls: 498_800,
  };

  it('is the limits of the account', () => {
    expect(parseKeyResponse(JSON.stringify(account))).to.deep.equal({
      callsPerMinute: 500,
      creditsPerMonth: 500_000,
      spent: 1_200,
    });
  });

  it('is the limits of the key where they are tighter', () => {
    const key = {
      api_key_rate_limit_request_per_minute: 100,
      api_key_monthly_call_credit: 10_000,
      current_api_key_total_monthly_calls: 900,
    };
    expect(parseKeyResponse(JSON.stringify({ ...account, ...key }))).to.deep.equal({
      callsPerMinute: 100,
      creditsPerMonth: 10_000,
      spent: 900,
    });
  });

  it('is nothing where fields are missing, null or nonsense, and never 0', () => {
    const odd = {
      rate_limit_request_per_minute: 0,
      monthly_call_credit: '10k',
      current_total_monthly_calls: null,
    };
    const nothing = { callsPerMinute: undefined, creditsPerMonth: undefined, spent: undefined };
    expect(parseKeyResponse('{}')).to.deep.equal(nothing);
    expect(parseKeyResponse(JSON.stringify(odd))).to.deep.equal(nothing);
    for (const text of ['[]', 'null', '<html>']) expect(() => parseKeyResponse(text), text).to.throw();
  });
});

describe('limits of the primary source', () => {
  const limitsOf = (environment: Record<string, string>): unknown => {
    const { callsPerMinute, creditsPerMonth } = primaryLimits(loadConfig(environment));
    return [callsPerMinute, creditsPerMonth];
  };

  it('are those of the plan where none are set', () => {
    expect(limitsOf({})).to.deep.equal([30, undefined]);
    expect(limitsOf({ PROVIDER: 'coingecko' })).to.deep.equal([10, undefined]);
    const demo = { COINGECKO_PLAN: 'demo', COINGECKO_API_KEY: 'CG-key' };
    expect(limitsOf(demo)).to.deep.equal([30, 10_000]);
    expect(
      limitsOf({ ...demo, UPSTREAM_CALLS_PER_MINUTE: '100', UPSTREAM_CREDITS_PER_MONTH: '7' }),
    ).to.deep.equal([100, 7]);
    expect(limitsOf({ ...demo, UPSTREAM_CREDITS_PER_MONTH: '0' })).to.deep.equal([30, undefined]);
  });
});

describe('forecasts of the budget', () => {
  const month = {
    credits: 10_000,
    spent: 0,
    left: 10_000,
    reserve: 0,
    startsAt: 0,
    endsAt: 0,
    spentPerHour: 0,
    affordablePerHour: 12,
    lastsUntil: null,
    atHand: { interactive: 0, stream: 0, warming: 0, backfill: 0 },
  };

  it('tell the freshness that the month, else the minute, can pay for', () => {
    const spare = { perMinute: 15, now: 3 };
    expect(freshnessAffordable({ ready: true, spare, month }, 4)).to.equal(1_200);
    expect(freshnessAffordable({ ready: true, spare, month: null }, 15)).to.equal(60);
    expect(freshnessAffordable({ ready: true, spare, month }, 0)).to.equal(null);
    expect(freshnessAffordable({ ready: false, spare, month }, 4)).to.equal(null);
  });

  it('tell how long demand waits at the pace of the month', () => {
    const budget = { limit: 30, available: 1, nextGrantInMs: 0 };
    expect(etaSeconds(750, 250, budget)).to.equal(3);
    expect(etaSeconds(750, 250, { ...budget, month })).to.equal(301);
  });
});
