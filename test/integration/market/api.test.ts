import { expect } from 'chai';
import { supportedCurrencies } from '../../../embedded/market/currencies.ts';
import { startMarket, type Market } from '../../../embedded/market/market.ts';

const dayMs = 86_400_000;
const noon = Date.UTC(2026, 4, 1, 12);

interface Row {
  id: string;
  symbol: string;
  current_price: number | null;
  market_cap: number | null;
  market_cap_rank: number | null;
  total_volume: number | null;
  high_24h: number;
  low_24h: number;
  last_updated: string | null;
}
type Prices = Record<string, Record<string, number>>;

describe('the market as a CoinGecko API', () => {
  const time = { at: noon };
  const clock = { now: () => time.at };
  let market: Market;

  before(async () => {
    market = await startMarket({ seed: 11, madeUpAssets: 300, clock });
  });
  beforeEach(() => void (time.at = noon));
  after(() => market.close());

  const get = (path: string, init?: RequestInit) => fetch(market.url + path, init);
  const json = async <T>(path: string): Promise<T> => (await get(path)).json() as Promise<T>;
  const refusal = async (path: string) => {
    const response = await get(path);
    return [response.status, await response.json()];
  };

  it('answers a ping', async () => {
    expect(await json('/ping')).to.deep.equal({ gecko_says: '(V3) To the Moon!' });
  });

  it('gives the asked currencies and figures of each known id, and silently omits unknown ones', async () => {
    const body = await json<Prices>(
      '/simple/price?ids=bitcoin,tether,nope&vs_currencies=usd,EUR,btc&include_market_cap=true&include_24hr_vol=true&include_24hr_change=true&include_last_updated_at=true',
    );
    expect(body).to.have.all.keys('bitcoin', 'tether');
    const figures = ['', '_market_cap', '_24h_vol', '_24h_change'];
    const keys = ['usd', 'eur', 'btc'].flatMap((currency) =>
      figures.map((statistic) => currency + statistic),
    );
    expect(body['bitcoin']).to.have.all.keys(...keys, 'last_updated_at');
    expect(body['bitcoin']).to.include({ btc: 1, btc_24h_change: 0, last_updated_at: noon / 1_000 });
    expect(body['bitcoin']!['usd']).to.be.within(50_000, 160_000);
    expect(body['tether']!['usd']).to.be.closeTo(1, 0.01);
  });

  it('gives nothing but the price when nothing else is asked for', async () => {
    const body = await json<Prices>('/simple/price?ids=solana&vs_currencies=usd');
    expect(body['solana']).to.have.all.keys('usd');
  });

  it('gives an empty object in an unknown currency and for an asset without a price', async () => {
    expect(await json('/simple/price?ids=bitcoin&vs_currencies=zzz')).to.deep.equal({ bitcoin: {} });
    expect(await json('/simple/price?ids=batcat&vs_currencies=usd')).to.deep.equal({ batcat: {} });
    expect(await json('/simple/price?ids=bitcoin&vs_currencies=constructor')).to.deep.equal({ bitcoin: {} });
  });

  it('prices every currency it lists', async () => {
    const currencies = await json<string[]>('/simple/supported_vs_currencies');
    expect(currencies).to.deep.equal(supportedCurrencies).and.have.length(63);
    const body = await json<Prices>(`/simple/price?ids=ethereum&vs_currencies=${currencies.join(',')}`);
    expect(body['ethereum']).to.have.all.keys(...currencies);
    for (const price of Object.values(body['ethereum']!)) expect(price).to.be.above(0);
  });

  it('rounds to the asked precision', async () => {
    const priceAt = async (precision: string) =>
      (await json<Prices>(`/simple/price?ids=ripple&vs_currencies=usd&precision=${precision}`))['ripple']![
        'usd'
      ]!;
    const full = await priceAt('full');
    expect(String(full).length).to.be.above(8);
    expect(await priceAt('0')).to.equal(Math.round(full));
    expect(await priceAt('3')).to.equal(Number(full.toFixed(3)));
    expect(await priceAt('19')).to.equal(Number(full.toPrecision(6)));
  });

  it('accepts a trailing slash', async () => {
    expect(await json('/simple/price/?ids=bitcoin&vs_currencies=usd')).to.have.key('bitcoin');
  });

  it('does not trim ids for simple prices and does so for markets, as was recorded', async () => {
    expect(await json('/simple/price?ids=bitcoin,%20ethereum&vs_currencies=usd')).to.have.all.keys('bitcoin');
    const rows = await json<Row[]>('/coins/markets?ids=bitcoin,%20ethereum&vs_currency=usd');
    expect(rows.map(({ id }) => id)).to.deep.equal(['bitcoin', 'ethereum']);
  });

  it('finds assets by name and by symbol, the highest-ranked of a symbol unless all are wanted', async () => {
    expect(await json('/simple/price?names=Bitcoin&vs_currencies=usd')).to.have.all.keys('bitcoin');
    expect(await json('/simple/price?symbols=ETH&vs_currencies=usd')).to.have.all.keys('ethereum');
    expect(await json('/simple/price?symbols=eth&include_tokens=all&vs_currencies=usd')).to.have.all.keys(
      'ethereum',
      'binance-peg-ethereum',
    );
  });

  it('names the missing parameter', async () => {
    const missing = (name: string) => [422, { error: `Missing parameter ${name}` }];
    expect(await refusal('/simple/price?ids=bitcoin')).to.deep.equal(missing('vs_currencies'));
    expect(await refusal('/simple/price?vs_currencies=usd')).to.deep.equal(missing('ids'));
    expect(await refusal('/simple/price?vs_currencies=usd&ids=')).to.deep.equal(missing('ids'));
    expect(await refusal('/coins/markets')).to.deep.equal(missing('vs_currency'));
    expect(await refusal('/coins/markets?vs_currency=zzz')).to.deep.equal([
      422,
      { error: 'invalid vs_currency' },
    ]);
  });

  it('answers 404 for an unknown coin, an unknown path and another method', async () => {
    expect(await refusal('/coins/nope/ohlc')).to.deep.equal([404, { error: 'coin not found' }]);
    expect((await get('/nope')).status).to.equal(404);
    expect((await fetch(new URL('/nope', market.url))).status).to.equal(404);
    expect((await get('/ping', { method: 'POST' })).status).to.equal(404);
  });

  it('answers 414 for a line that is too long, and any line below', async () => {
    const ask = (bytes: number) => get(`/simple/price?vs_currencies=usd&ids=${'x'.repeat(bytes)}`);
    expect((await ask(8_000)).status).to.equal(200);
    const response = await ask(20_000);
    expect([response.status, response.headers.get('content-type')]).to.deep.equal([
      414,
      'text/html; charset=UTF-8',
    ]);
  });

  it('sends the headers of a success, and answers 304 to its own tag', async () => {
    const response = await get('/simple/price?ids=bitcoin&vs_currencies=usd');
    expect(Object.fromEntries(response.headers)).to.include({
      'cache-control': 'max-age=30, public, must-revalidate, s-maxage=60',
      'access-control-allow-origin': '*',
      'access-control-expose-headers': 'link, per-page, total',
      'content-type': 'application/json; charset=utf-8',
    });
    const etag = response.headers.get('etag') ?? '';
    expect(etag).to.match(/^W\/"[0-9a-f]{32}"$/);
    const again = await get('/simple/price?ids=bitcoin&vs_currencies=usd', {
      headers: { 'if-none-match': etag },
    });
    expect(again.status).to.equal(304);
  });

  it('lists all assets with the oddities of a real list', async () => {
    const list = await json<{ id: string; symbol: string; name: string }[]>('/coins/list');
    const real = list.filter(({ id }) => !id.startsWith('sim-'));
    expect(real.length).to.be.at.least(255);
    expect(list.length - real.length).to.equal(300);
    expect(new Set(list.map(({ id }) => id)).size).to.equal(list.length);
    expect(list.some(({ id }) => id === '')).to.equal(true);
    expect(list.filter(({ symbol }) => symbol === 'eth')).to.have.length(2);
    expect(list.some(({ symbol }) => symbol !== symbol.toLowerCase())).to.equal(true);
    expect(await json('/coins/list?status=inactive')).to.deep.equal([]);
    expect((await json<object[]>('/coins/list?include_platform=true'))[0]).to.have.property('platforms');
  });

  it('pages through all assets by market cap, each once', async () => {
    const rows: Row[] = [];
    for (let page = 1; page <= 3; page += 1) {
      rows.push(...(await json<Row[]>(`/coins/markets?vs_currency=usd&per_page=250&page=${page}`)));
    }
    const list = await json<unknown[]>('/coins/list');
    expect(rows).to.have.length(list.length - 5); // Five rows of the list have no price.
    expect(new Set(rows.map(({ id }) => id)).size).to.equal(rows.length);
    expect(rows.map((row) => row.market_cap_rank)).to.deep.equal(rows.map((_, index) => index + 1));
    const caps = rows.map((row) => row.market_cap ?? 0);
    expect(caps).to.deep.equal(caps.toSorted((left, right) => right - left));
    expect(rows.slice(0, 2).map(({ id }) => id)).to.deep.equal(['bitcoin', 'ethereum']);
    expect(await json('/coins/markets?vs_currency=usd&per_page=250&page=4')).to.deep.equal([]);
  });

  it('gives 100 rows unless told, and never more than 250', async () => {
    expect(await json('/coins/markets?vs_currency=usd')).to.have.length(100);
    expect(await json('/coins/markets?vs_currency=usd&per_page=1000')).to.have.length(250);
    const response = await get('/coins/markets?vs_currency=usd&per_page=7&page=2');
    expect(await response.json()).to.have.length(7);
    expect([response.headers.get('per-page'), response.headers.get('total')]).to.deep.equal([
      '7',
      String(300 + 288),
    ]);
  });

  it('orders as asked', async () => {
    const ask = async (order: string) =>
      await json<Row[]>(`/coins/markets?vs_currency=usd&per_page=250&order=${order}`);
    const ids = (await ask('id_asc')).map(({ id }) => id);
    expect(ids).to.deep.equal(ids.toSorted());
    const backwards = (await ask('id_desc')).map(({ id }) => id);
    expect(backwards).to.deep.equal(backwards.toSorted().reverse());
    const volumes = (await ask('volume_desc')).map((row) => row.total_volume ?? 0);
    expect(volumes).to.deep.equal(volumes.toSorted((left, right) => right - left));
    expect((await ask('market_cap_asc'))[0]?.market_cap_rank).to.equal(588);
  });

  it('shows a row whose figures fit together, and nulls for a listed asset without a price', async () => {
    const rows = await json<Row[]>(
      '/coins/markets?vs_currency=usd&ids=batcat,nope,cardano&sparkline=true&price_change_percentage=1h,7d,zzz',
    );
    expect(rows.map(({ id }) => id)).to.deep.equal(['cardano', 'batcat']);
    const [cardano, batcat] = rows;
    expect(cardano!.current_price!).to.be.within(cardano!.low_24h, cardano!.high_24h);
    expect(cardano).to.include({ symbol: 'ada', circulating_supply: 36_500_000_000 });
    expect(cardano!.market_cap! / cardano!.current_price!).to.be.closeTo(36.5e9, 1e6);
    expect(cardano!.last_updated).to.equal(new Date(noon).toISOString());
    expect(cardano).to.have.property('price_change_percentage_7d_in_currency').that.is.a('number');
    expect(cardano).to.not.have.property('price_change_percentage_zzz_in_currency');
    expect(
      (cardano as unknown as { sparkline_in_7d: { price: number[] } }).sparkline_in_7d.price,
    ).to.have.length(168);
    expect(batcat).to.include({ current_price: null, market_cap: null, market_cap_rank: null });
  });

  it('tells the change of 24 hours from its own price a day before', async () => {
    const ask = () =>
      json<Prices>('/simple/price?ids=cardano&vs_currencies=usd&precision=full&include_24hr_change=true');
    const today = (await ask())['cardano']!;
    time.at = noon - dayMs;
    const yesterday = (await ask())['cardano']!;
    expect(today['usd_24h_change']).to.be.closeTo((today['usd']! / yesterday['usd']! - 1) * 100, 1e-4);
  });

  it('keeps a price within a step and gives a new one with the next', async () => {
    const ask = async () =>
      (await json<Prices>('/simple/price?ids=cardano&vs_currencies=usd&precision=full'))['cardano']!['usd'];
    const first = await ask();
    time.at = noon + 4_999;
    expect(await ask()).to.equal(first);
    time.at = noon + 5_000;
    expect(await ask()).to.not.equal(first);
  });

  it('gives the same answers from another market with the same seed and clock, others with another seed', async () => {
    const path = '/coins/markets?vs_currency=eur&per_page=250';
    const [twin, stranger] = [
      await startMarket({ seed: 11, madeUpAssets: 300, clock }),
      await startMarket({ seed: 12, madeUpAssets: 300, clock }),
    ];
    try {
      const [own, same, other] = await Promise.all(
        [market, twin, stranger].map(async ({ url }) => (await fetch(url + path)).text()),
      );
      expect(same).to.equal(own);
      expect(other).to.not.equal(own);
    } finally {
      await Promise.all([twin.close(), stranger.close()]);
    }
  });
});
