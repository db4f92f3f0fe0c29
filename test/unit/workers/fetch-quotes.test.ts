/** The jobs that fetch quotes for clients: what they ask for, how long they wait, and what they answer. */
import { expect } from 'chai';
import type { QuoteReading } from '../../../src/domain/cached-quote.ts';
import { silentLogger } from '../../../src/platform/observability/logger.ts';
import { createQuoteProcessors } from '../../../workers/processors/quotes/module.ts';
import { jobContext } from '../../support/job-context.ts';

const deadlineSeconds = 120;

describe('the jobs that fetch quotes', () => {
  let now: number;
  let requested: Record<string, unknown>[];
  let readings: QuoteReading[];
  let results: string[];
  let steps: unknown[];
  let events: string[];

  beforeEach(() => {
    [now, requested, readings, results, steps, events] = [1_800_000_000_000, [], [], [], [], []];
  });

  function processors(config: object = {}) {
    const clock = { now: () => now };
    const quotes = {
      collect: (request: Record<string, unknown>) => {
        requested.push(request);
        now += 1_500;
        (request['onWait'] as () => void)();
        (request['onSettled'] as (each: QuoteReading[]) => void)(readings);
        return Promise.resolve(new Map(readings.map((each) => [each.assetId, each])));
      },
      interest: { currencies: () => Promise.reject(new Error('nobody warms')) },
    };
    const runs = {
      jobs: { countOpen: () => Promise.resolve(0) },
      runs: {
        markProgress: (_run: unknown, done: number) => Promise.resolve(void steps.push(done)),
        complete: (_run: unknown, _id: string, body: string) =>
          Promise.resolve([...(results.push(body), ['job'])]),
      },
      events: {
        append: (_subject: string, each: { type: string }[]) =>
          Promise.resolve(void events.push(...each.map(({ type }) => type))),
      },
      clock,
      log: silentLogger(),
      deadlineMs: deadlineSeconds * 1_000,
      abandoned: () => ({ signal: new AbortController().signal, forget: () => undefined }),
    };
    return createQuoteProcessors(
      { config: { JOB_DEADLINE: deadlineSeconds, WARMING: 'on', ...config }, clock } as never,
      {
        quotes: quotes as never,
        budgetStatus: () => Promise.reject(new Error('nobody asks')),
        clientRuns: () => runs as never,
        threads: { run: () => Promise.reject(new Error('small results need no thread')) },
      },
    ).processors;
  }
  const bulk = {
    workKey: 'w',
    requester: 'joe/key',
    currency: 'eur',
    assets: ['solana', 'bitcoin', 'ghost'],
  };
  const quoteOf = (assetId: string, price: number): QuoteReading => ({
    assetId,
    state: 'fresh',
    quote: { assetId, currency: 'eur', receivedAt: now, head: `{"id":"${assetId}","price":${price}` },
  });

  it('ask at once, on the account of who asked, and wait through outages', async () => {
    await processors()
      .requests()
      ['bulk.fetch'](bulk, { ...jobContext(), addedAt: now });
    expect(requested[0]).to.deep.include({
      currency: 'eur',
      assetIds: bulk.assets,
      urgency: 'interactive',
      requester: 'joe/key',
      outlastsOutages: true,
    });
    const lost = new AbortController();
    await processors().requests()['bulk.fetch'](bulk, jobContext(lost.signal));
    const { signal } = requested[1] as { signal: AbortSignal };
    lost.abort();
    expect(signal.aborted).to.equal(true);
  });

  it('wait until their deadline, counted from their submission, and some seconds at least', async () => {
    for (const sinceMs of [0, 30_000, 115_001, 600_000])
      await processors()
        .requests()
        ['bulk.fetch'](bulk, { ...jobContext(), addedAt: now - sinceMs });
    expect(requested.map(({ waitMs }) => waitMs)).to.deep.equal([120_000, 90_000, 5_000, 5_000]);
  });

  it('answer in the order of the request, and say what is still to come', async () => {
    readings = [quoteOf('bitcoin', 5), quoteOf('solana', 2)];
    await processors().requests()['bulk.fetch'](bulk, jobContext());
    const { portfolio, ...counts } = JSON.parse(results[0] ?? '') as { portfolio: Record<string, unknown>[] };
    expect(portfolio.map(({ id, state }) => [id, state])).to.deep.equal([
      ['solana', 'fresh'],
      ['bitcoin', 'fresh'],
      ['ghost', 'pending'],
    ]);
    expect(counts).to.deep.equal({ success_count: 2, error_count: 1, fetch_time: '1.50s' });
  });

  it('ask once for an asset that is held several times, and count it once', async () => {
    readings = [quoteOf('bitcoin', 5)];
    const holdings = ['1', '2.5'].map((quantity) => ({ asset: 'bitcoin', quantity }));
    const job = { workKey: 'w', requester: undefined, currency: 'eur', holdings };
    await processors().requests()['portfolio.fetch'](job, jobContext());
    expect(requested[0]).to.deep.include({ assetIds: ['bitcoin'] });
    expect(JSON.parse(results[0] ?? '')).to.deep.include({ total_value: '17.5' });
  });

  it('tell that they wait, and of each that has come', async () => {
    readings = [quoteOf('bitcoin', 5)];
    await processors().requests()['bulk.fetch'](bulk, jobContext());
    expect(steps).to.deep.equal([0]);
    expect(events).to.deep.equal(['job.progress', 'job.coin', 'job.progress', 'job.completed']);
  });

  it('leave warming alone where it is off', async () => {
    const { maintenance } = processors({ WARMING: 'off' });
    expect(await maintenance()['quotes.warm']()).to.deep.equal({
      calls: 0,
    });
  });
});
