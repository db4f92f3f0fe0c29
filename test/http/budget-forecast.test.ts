import { expect } from 'chai';
import { startApi, type TestApi } from './support/ports.ts';

/** What users and operators see of the month. */
describe('forecasts of the budget over HTTP', () => {
  const startsAt = Date.parse('2027-04-01T00:00:00Z');
  const endsAt = Date.parse('2027-05-01T00:00:00Z');
  const lastsUntil = Date.parse('2027-04-20T06:00:00Z');
  let api: TestApi;
  const open = async (until: number | null): Promise<void> => {
    api = await startApi({
      budgetStatus: () =>
        Promise.resolve({
          ready: true,
          spacingMs: 4_000,
          limit: 15,
          fullLimit: 30,
          used: 3,
          available: 12,
          nextGrantInMs: 0,
          grantsInMs: [0],
          blockedForMs: 0,
          spare: { perMinute: 8, now: 8 },
          freshnessSeconds: 1_038,
          month: {
            credits: 10_000,
            spent: 4_000,
            left: 6_000,
            reserve: 400.7,
            startsAt,
            endsAt,
            spentPerHour: 20.04,
            affordablePerHour: 13.88,
            atHand: { interactive: 400.7, stream: 10, warming: 10, backfill: 10 },
            lastsUntil: until,
          },
        }),
    });
  };
  afterEach(() => api.close(0));

  it('tell how the price sources stand, in seconds', async () => {
    api = await startApi({
      sources: () =>
        Promise.resolve([
          {
            ...{ name: 'coingecko', state: 'open', failures: 3, retryInMs: 1_500 },
            lastFailure: {
              ...{ at: Date.UTC(2026, 0, 2), cause: 'dns', code: 'ENOTFOUND', host: 'api.example' },
              ...{ status: null, said: 'getaddrinfo ENOTFOUND api.example' },
            },
          },
          { name: 'defillama', state: 'closed', failures: 0, retryInMs: 0, lastFailure: null },
        ]),
    });
    const response = await api.call('GET', '/api/v1/crypto/cache/stats');
    const { data } = (await response.json()) as { data: { sources: unknown } };
    expect(data.sources).to.deep.equal([
      {
        ...{ name: 'coingecko', state: 'open', failures: 3, retry_in_seconds: 1.5 },
        last_failure: {
          ...{ at: '2026-01-02T00:00:00.000Z', cause: 'dns', code: 'ENOTFOUND', host: 'api.example' },
          ...{ status: null, said: 'getaddrinfo ENOTFOUND api.example' },
        },
      },
      { name: 'defillama', state: 'closed', failures: 0, retry_in_seconds: 0, last_failure: null },
    ]);
  });

  const budget = async (): Promise<unknown> => {
    const response = await api.call('GET', '/api/v1/crypto/cache/stats');
    return ((await response.json()) as { data: { budget: unknown } }).data.budget;
  };

  it('tell until when the credits last, and what freshness they pay for', async () => {
    await open(lastsUntil);
    expect(await budget()).to.deep.equal({
      limit: 15,
      full_limit: 30,
      used: 3,
      available: 12,
      next_grant_in_seconds: 0,
      blocked_for_seconds: 0,
      freshness_affordable_seconds: 1_038,
      month: {
        credits: 10_000,
        spent: 4_000,
        left: 6_000,
        interactive_reserve: 400,
        ends_at: '2027-05-01T00:00:00.000Z',
        spent_per_hour: 20,
        affordable_per_hour: 13.9,
        lasts_until: '2027-04-20T06:00:00.000Z',
        outlasts_month: false,
      },
    });
  });

  it('say so when the credits outlast the month', async () => {
    await open(null);
    expect(await budget()).to.deep.nested.include({
      'month.lasts_until': '2027-05-01T00:00:00.000Z',
      'month.outlasts_month': true,
    });
  });
});
