import { expect } from 'chai';
import type { Knex } from 'knex';
import { openDatabase } from '../../db/connection.ts';
import {
  createAssetQueries,
  type AssetQueries,
  type ListedAsset,
} from '../../src/features/assets/queries/assets.ts';
import { startMarket, type Market } from '../../embedded/market/market.ts';
import { createAssetDirectory, type LiveAssetDirectory } from '../../src/features/assets/asset-directory.ts';
import { systemClock } from '../../src/platform/concurrency/clock.ts';
import { silentLogger } from '../../src/platform/observability/logger.ts';
import { startStopwatch } from '../../src/features/upstream/call-signal.ts';
import { createCoinGeckoProvider } from '../../src/features/upstream/coingecko/coingecko-provider.ts';
import { ProviderError } from '../../src/features/upstream/provider-errors.ts';
import type { PriceProvider } from '../../src/features/upstream/provider.ts';
import type { RequestLimiter } from '../../src/features/upstream/request-limiter-contract.ts';
import { createRequestLimiter } from '../../src/features/upstream/request-limiter.ts';
import { checkAssets, createRankNoter, refreshAssets } from '../../workers/processors/upstream/assets.ts';
import type { JobContext } from '../../workers/runtime/processor.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { waitFor } from '../support/wait-for.ts';

const log = silentLogger();

describe('the list of assets', () => {
  let database: TestDatabase;
  let knex: Knex;
  let market: Market;
  let provider: PriceProvider;
  let limiter: RequestLimiter;
  let assets: AssetQueries;
  let directory: LiveAssetDirectory;
  let tell: () => void;
  /** What the check and the rank noter asked the queue for. */
  let enqueued: string[];

  before(async () => {
    database = await createTestDatabase();
    knex = openDatabase({ database: { connectionString: database.url, ssl: false }, poolSize: 4 });
    assets = createAssetQueries(knex);
    market = await startMarket({ madeUpAssets: 100 });
    provider = createCoinGeckoProvider({
      baseUrl: market.url,
      plan: 'keyless',
      timeoutMs: 5_000,
      maxBodyBytes: 10_000_000,
      clock: systemClock,
    });
    const settled = (): Promise<void> => Promise.resolve();
    limiter = createRequestLimiter({
      log,
      budget: {
        key: 'endless',
        tryAcquire: () =>
          Promise.resolve({
            granted: { id: 'g', since: startStopwatch(), lastsMs: 5_000, settle: settled, release: settled },
          }),
        block: settled,
        applyReportedLimits: settled,
        status: () => Promise.reject(new Error('nobody asks')),
      },
    });
  });
  beforeEach(async () => {
    await knex('assets').delete();
    await knex('asset_list').delete();
    await knex('asset_list').insert({ is_only: true });
    market.resetCalls();
    market.clearFaults();
    enqueued = [];
    const channel = {
      listen(onChange: () => void) {
        tell = onChange;
        return () => undefined;
      },
    };
    directory = createAssetDirectory({ source: assets, channel, log });
    await directory.whenRead(5_000);
  });
  afterEach(() => directory.close());
  after(async () => {
    await limiter.stop();
    await provider.close();
    await market.close();
    await knex.destroy();
    await database.drop();
  });

  const enqueue = {
    assets: (): Promise<void> => {
      enqueued.push('list');
      return Promise.resolve();
    },
    markets: (currency: string, { page = 0, urgency = '' } = {}): Promise<void> => {
      enqueued.push(`${currency} ${page} ${urgency}`);
      return Promise.resolve();
    },
  };
  const assetChannel = {
    publish: (): Promise<void> => {
      tell();
      return Promise.resolve();
    },
  };
  const check = (): Promise<boolean> => checkAssets({ assets, enqueue });

  async function refresh(assetRankPages = 2, way: Pick<RequestLimiter, 'run'> = limiter): Promise<number> {
    const { signal } = new AbortController();
    const context: JobContext = {
      jobId: 'job',
      addedAt: Date.now(),
      start: 1,
      isLastAttempt: true,
      signal,
      waitSignal: signal,
      callSignal: signal,
      releaseDeduplication: () => Promise.resolve(),
    };
    const result = await refreshAssets(
      { provider, limiter: { ...limiter, ...way }, assets, assetChannel, enqueue, assetRankPages, log },
      context,
    );
    return result.assets;
  }

  async function noteRanking(page: number, noter = newNoter()): Promise<void> {
    const { signal } = new AbortController();
    await noter({
      currency: 'usd',
      page,
      ...(await provider.fetchMarkets({ currency: 'usd', page, signal })),
    });
  }
  const newNoter = (assetRankPages = 2) =>
    createRankNoter({ assets, assetChannel, enqueue, assetRankPages, clock: systemClock, log });

  const listed = (...ids: string[]): ListedAsset[] =>
    ids.map((assetId) => ({ assetId, symbol: assetId, name: assetId }));
  const activeIds = async (): Promise<string[]> =>
    (await knex('assets').where({ active: true }).orderBy('position').select<{ asset_id: string }[]>()).map(
      ({ asset_id }) => asset_id,
    );
  const makeDue = (): Promise<unknown> =>
    knex.raw('update asset_list set next_at = now(), next_rank_at = now()');

  it('is fetched at once when there is none, with one call, and then once a day', async () => {
    expect(directory.isKnown()).to.equal(false);
    expect(await check()).to.equal(true);
    expect(enqueued).to.deep.equal(['list']);
    const count = await refresh(0);
    expect(market.callCount()).to.equal(1);
    await waitFor(() => directory.size() === count, { what: 'the directory' });
    expect(await check()).to.equal(false);
    const state = await knex('asset_list').first<{ next_at: Date }>('next_at');
    expect(state.next_at.getTime()).to.be.within(Date.now() + 86_000_000, Date.now() + 87_000_000);
  });

  it('holds what the source lists: symbols as sent, duplicates, and no row without an id', async () => {
    await refresh(0);
    await waitFor(() => directory.isKnown(), { what: 'the directory' });
    expect(directory.byId('')).to.equal(undefined);
    expect(directory.byId('xaave')).to.include({ symbol: 'xAAVEa', name: 'xAAVE' });
    expect(directory.bySymbol('XAAVEA')).to.have.length(1);
    expect(directory.bySymbol('btc').map(({ id }) => id)).to.deep.equal(['batcat', 'bitcoin']);
  });

  it('learns ranks page by page, which tell duplicates apart, and asks for the next page', async () => {
    await refresh();
    expect(enqueued).to.deep.equal(['usd 1 backfill']);
    expect(await check(), 'while the page is on its way').to.equal(false);
    const noter = newNoter();
    await noteRanking(1, noter);
    await waitFor(() => directory.bySymbol('btc')[0]?.id === 'bitcoin', { what: 'the rank' });
    expect(directory.byId('bitcoin')).to.include({ rank: 1 });
    expect(enqueued.at(-1)).to.equal('usd 2 backfill');
    await noteRanking(2, noter);
    expect(enqueued).to.have.length(2);
    await makeDue();
    enqueued = [];
    expect(await check()).to.equal(true);
    expect(enqueued, 'no page is left').to.deep.equal(['list']);
  });

  it('asks for no page of ranks behind one that is not full', async () => {
    await refresh(5);
    const noter = newNoter(5);
    await noteRanking(1, noter);
    await noteRanking(2, noter);
    expect(enqueued).to.deep.equal(['usd 1 backfill', 'usd 2 backfill']);
    await makeDue();
    enqueued = [];
    await check();
    expect(enqueued, 'no page is left').to.deep.equal(['list']);
  });

  it('takes the ranks of a ranking that passes by, and not those of every one', async () => {
    await refresh(0);
    const noter = newNoter();
    await noteRanking(1, noter);
    expect(await knex('assets').where({ rank: 1 })).to.have.length(1);
    await knex('assets').update({ rank: null });
    await noteRanking(1, noter);
    expect(await knex('assets').where({ rank: 1 })).to.have.length(0);
    expect(enqueued).to.deep.equal([]);
  });

  it('gives a rank to nobody twice', async () => {
    await assets.storeList(listed('a', 'b', 'c', 'd'), 1);
    const rank = (assetId: string, at: number) => ({ assetId, rank: at, image: null });
    await assets.storeRanks([rank('a', 1), rank('b', 2), rank('c', 3)]);
    await assets.storeRanks([rank('d', 1), rank('a', 2)], 0);
    const rows = await knex('assets').orderBy('asset_id').select<{ asset_id: string; rank: number }[]>();
    expect(rows.map(({ asset_id: id, rank: at }) => [id, at])).to.deep.equal([
      ['a', 2],
      ['b', null],
      ['c', null],
      ['d', 1],
    ]);
  });

  it('makes inactive what vanished and active what came back', async () => {
    await assets.storeList(listed('a', 'b', 'c'), 0);
    expect(await assets.storeList(listed('c', 'a'), 0)).to.deep.equal({
      verdict: 'take',
      assets: 2,
      vanished: 1,
    });
    tell();
    await waitFor(() => directory.listed('inactive').length === 1, { what: 'the directory' });
    expect(directory.listed('inactive')[0]).to.include({ id: 'b' });
    expect(directory.listed('active').map(({ id }) => id)).to.deep.equal(['c', 'a']);
    await assets.storeList(listed('c', 'a', 'b'), 0);
    expect(await activeIds()).to.deep.equal(['c', 'a', 'b']);
  });

  it('is not replaced by one that lost most of it, unless a second one says the same, and never by an empty one', async () => {
    await assets.storeList(listed('a', 'b', 'c', 'd', 'e'), 0);
    expect((await assets.storeList([], 0)).verdict).to.equal('refuse');
    expect((await assets.storeList(listed('a', 'b'), 0)).verdict).to.equal('confirm');
    expect((await assets.storeList([], 0)).verdict).to.equal('refuse');
    expect(await activeIds()).to.have.length(5);
    expect((await assets.storeList(listed('a', 'b'), 0)).verdict).to.equal('take');
    expect(await activeIds()).to.deep.equal(['a', 'b']);
    // What was confirmed once says nothing of a list that is as short later.
    await assets.storeList(listed('a', 'b', 'c', 'd', 'e'), 0);
    expect((await assets.storeList(listed('a', 'b'), 0)).verdict).to.equal('confirm');
    expect(await activeIds()).to.have.length(5);
  });

  it('takes an id that comes twice once, and texts that Postgres cannot hold without what it cannot', async () => {
    const odd = { assetId: 'o\0dd', symbol: '\ud800', name: 'x\0', platforms: { 'e\0': null, sol: 'addr' } };
    await assets.storeList([...listed('a'), ...listed('a'), odd, ...listed('')], 0);
    expect(await activeIds()).to.deep.equal(['a', 'odd']);
    const [stored] = await assets.page('a', 1);
    expect(stored?.asset).to.include({ symbol: '\ufffd', name: 'x' });
    expect(JSON.parse(stored?.asset.platformsJson ?? '')).to.deep.equal({ e: null, sol: 'addr' });
  });

  it('is not tried again at once when its source may not even be called', async () => {
    const closed = { run: () => Promise.reject(new ProviderError('open', { provider: 'coingecko' })) };
    await refresh(0, closed).then(
      () => expect.fail('it did not fail'),
      (error: unknown) => expect(error).to.be.instanceOf(ProviderError),
    );
    expect(await check()).to.equal(false);
    expect(market.callCount()).to.equal(0);
  });

  it('is fetched again after a failure, later and later', async () => {
    market.inject('server-error', { count: 100 });
    const waits: number[] = [];
    for (let attempt = 0; attempt < 3; attempt++) {
      await refresh().then(
        () => expect.fail('it did not fail'),
        () => undefined,
      );
      expect(await check(), 'at once').to.equal(false);
      const { rows } = await knex.raw<{ rows: [{ s: string }] }>(
        'select extract(epoch from next_at - clock_timestamp()) as s from asset_list',
      );
      waits.push(Math.round(Number(rows[0].s) / 60));
      await makeDue();
    }
    expect(waits).to.deep.equal([1, 2, 4]);
    market.clearFaults();
    await refresh();
    expect(await activeIds()).to.include('bitcoin');
  });
});
