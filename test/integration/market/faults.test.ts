import { request as httpRequest, type IncomingHttpHeaders } from 'node:http';
import { setImmediate as turn } from 'node:timers/promises';
import { expect } from 'chai';
import { faultKinds, type Fault, type FaultKind } from '../../../embedded/market/market-state.ts';
import { startMarket, type Market } from '../../../embedded/market/market.ts';

const path = '/simple/price?ids=bitcoin,ethereum&vs_currencies=usd&include_24hr_change=true';

interface Wire {
  /** 0 when the connection ended before a status came. */
  status: number;
  headers: IncomingHttpHeaders;
  text: string;
  /** Sizes of the pieces in which the body came. */
  pieces: number[];
  /** Code of the error that cut the exchange. */
  cut: string | undefined;
}

/** Asks on a connection of its own and reports what came over the wire, whole or not. */
function ask(url: string): Promise<Wire> {
  const seen: Wire = { status: 0, headers: {}, text: '', pieces: [], cut: undefined };
  return new Promise((resolve) => {
    const fail = (error: NodeJS.ErrnoException): void =>
      resolve({ ...seen, cut: error.code ?? error.message });
    const request = httpRequest(url, { agent: false }, (response) => {
      Object.assign(seen, { status: response.statusCode, headers: response.headers });
      response.on('data', (chunk: Buffer) => {
        seen.text += chunk.toString();
        seen.pieces.push(chunk.length);
      });
      response.on('error', fail);
      response.on('end', () => resolve(seen));
    });
    request.on('error', fail);
    request.end();
  });
}

describe('faults of the market', () => {
  let market: Market;
  let good: Record<string, Record<string, number>>;

  before(async () => {
    // One step of a day: the good answer does not change while the tests run.
    market = await startMarket({ walkIntervalMs: 864_000_000 });
    good = JSON.parse((await ask(market.url + path)).text) as typeof good;
  });
  afterEach(() => market.clearFaults());
  after(() => market.close());

  const suffer = async (fault: Fault, at = path): Promise<Wire> => {
    market.inject(fault);
    return await ask(market.url + at);
  };

  const tooMany = /exceeded the Rate Limit/;
  const canned: Partial<
    Record<FaultKind, [status: number, type: string, body: RegExp, retryAfter?: string]>
  > = {
    'rate-limited': [429, 'application/json', tooMany, '7'],
    'rate-limited-text': [429, 'text/plain', /^Throttled$/],
    'rate-limited-cloudflare': [429, 'text/plain', /^error code: 1015$/],
    'rate-limited-html': [429, 'text/html', /^<!DOCTYPE html>/],
    'rate-limited-as-200': [200, 'application/json', tooMany],
    'server-error': [500, 'application/json', /^{"status":500,"error":"Internal Server Error"}$/],
    'server-error-html': [500, 'text/html', /^<!DOCTYPE html>/],
    unavailable: [503, 'text/html', /^<!DOCTYPE html>/, '5'],
    'bad-gateway': [502, 'text/html', /^<!DOCTYPE html>/],
    'request-timeout': [408, 'application/json', /Timeout/],
    'uri-too-long': [414, 'text/html', /414/],
    'key-missing': [401, 'application/json', /"error_code":10002/],
    'plan-restricted': [401, 'application/json', /"error_code":10005/],
    'wrong-root-pro': [400, 'application/json', /"error_code":10010/],
    'wrong-root-demo': [400, 'application/json', /"error_code":10011/],
    'time-range': [401, 'application/json', /^{"error":{"status":{.*365 days/],
    firewall: [403, 'text/plain', /^error code: 1020$/],
    'empty-body': [200, 'application/json', /^$/],
  };
  for (const [kind, [status, type, body, retryAfter]] of Object.entries(canned)) {
    it(`${kind}: ${status} ${type}`, async () => {
      const seen = await suffer(kind as FaultKind);
      expect([seen.status, seen.headers['retry-after'], seen.cut]).to.deep.equal([
        status,
        retryAfter,
        undefined,
      ]);
      expect(seen.headers['content-type']).to.match(new RegExp(`^${type}`));
      expect(seen.text).to.match(body);
      expect(seen.headers['access-control-allow-origin']).to.equal(undefined);
    });
  }

  it('takes another status and another hint', async () => {
    const seen = await suffer({ kind: 'rate-limited', status: 418, retryAfterSeconds: 119 });
    expect([seen.status, seen.headers['retry-after']]).to.deep.equal([418, '119']);
  });

  it('invalid-json, truncated-json, nan-prices: whole answers that are no JSON', async () => {
    for (const kind of ['invalid-json', 'truncated-json', 'nan-prices'] as const) {
      const seen = await suffer(kind);
      expect([seen.status, seen.cut]).to.deep.equal([200, undefined]);
      expect(seen.text, kind).to.not.equal('');
      expect(() => void JSON.parse(seen.text), kind).to.throw(SyntaxError);
    }
    expect((await suffer('nan-prices')).text).to.match(/"usd":NaN,"usd_24h_change":-?\d/);
    expect(JSON.stringify(good).startsWith((await suffer('truncated-json')).text)).to.equal(true);
  });

  const bent: [FaultKind, (price: number) => unknown][] = [
    ['null-prices', () => null],
    ['zero-prices', () => 0],
    ['negative-prices', (price) => -price],
    ['text-prices', () => 'NaN'],
  ];
  for (const [kind, expected] of bent) {
    it(`${kind}: only the prices are bent, in both kinds of answer`, async () => {
      const simple = JSON.parse((await suffer(kind)).text) as typeof good;
      expect(simple['bitcoin']).to.deep.equal({
        ...good['bitcoin'],
        usd: expected(good['bitcoin']!['usd']!),
      });
      const at = '/coins/markets?vs_currency=usd&per_page=3';
      const rows = JSON.parse((await ask(market.url + at)).text) as { current_price: number }[];
      const spoilt = JSON.parse((await suffer(kind, at)).text) as unknown[];
      expect(spoilt).to.deep.equal(
        rows.map((row) => ({ ...row, current_price: expected(row.current_price) })),
      );
    });
  }

  it('wrong-shape: an array for an object and an object for an array', async () => {
    expect((await suffer('wrong-shape')).text).to.equal('[]');
    expect((await suffer('wrong-shape', '/coins/markets?vs_currency=usd')).text).to.equal('{}');
  });

  it('wrong-content-type: the right answer by the wrong name', async () => {
    const seen = await suffer('wrong-content-type');
    expect(seen.headers['content-type']).to.match(/^text\/html/);
    expect(JSON.parse(seen.text)).to.deep.equal(good);
  });

  it('reset-before: nothing, then a reset', async () => {
    expect(await suffer('reset-before')).to.deep.include({ status: 0, text: '', cut: 'ECONNRESET' });
  });

  it('reset-during: half of the announced body, then a reset', async () => {
    const seen = await suffer('reset-during');
    expect([seen.status, seen.cut]).to.deep.equal([200, 'ECONNRESET']);
    expect(seen.text.length).to.equal(Math.ceil(Number(seen.headers['content-length']) / 2));
  });

  it('slow-drip: the right answer, byte by byte', async () => {
    const seen = await suffer({ kind: 'slow-drip', intervalMs: 2 });
    expect(JSON.parse(seen.text)).to.deep.equal(good);
    expect(seen.pieces.length).to.be.above(3);
  });

  it('huge-body: 50 MB of valid JSON without a length', async () => {
    const seen = await suffer('huge-body');
    expect(seen.headers['content-length']).to.equal(undefined);
    expect(seen.text.length).to.equal(50_000_000 + '{"padding":""}'.length);
    expect(Object.keys(JSON.parse(seen.text) as object)).to.deep.equal(['padding']);
  });

  it('hang: the call is taken and never answered, and closing the market cuts it', async () => {
    const hanging = await startMarket();
    try {
      hanging.inject('hang');
      let answered = false;
      const call = ask(hanging.url + path).finally(() => (answered = true));
      while (hanging.callCount() === 0) await turn();
      expect((await ask(`${hanging.url}/ping`)).status).to.equal(200);
      expect([answered, hanging.calls()[0]?.status]).to.deep.equal([false, 0]);
      await hanging.close();
      expect(await call).to.include({ status: 0, cut: 'ECONNRESET' });
    } finally {
      await hanging.close();
    }
  });

  it('has a test for every kind', () => {
    const others = ['invalid-json', 'truncated-json', 'nan-prices', 'wrong-shape', 'wrong-content-type'];
    const connections = ['reset-before', 'reset-during', 'slow-drip', 'huge-body', 'hang'];
    const tested = [...Object.keys(canned), ...bent.map(([kind]) => kind), ...others, ...connections];
    expect(tested.toSorted()).to.deep.equal(faultKinds.toSorted());
  });

  it('spoils as many calls as asked for, oldest fault first, then none', async () => {
    market.inject('server-error', { count: 2 });
    market.inject('firewall');
    const statuses: number[] = [];
    for (let call = 0; call < 4; call += 1) statuses.push((await ask(market.url + path)).status);
    expect(statuses).to.deep.equal([500, 500, 403, 200]);
  });

  it('spoils one path only when told, until cleared', async () => {
    market.inject('server-error', { count: Infinity, path: '/simple/price' });
    for (let call = 0; call < 3; call += 1) expect((await ask(market.url + path)).status).to.equal(500);
    expect((await ask(`${market.url}/ping`)).status).to.equal(200);
    market.clearFaults();
    expect((await ask(market.url + path)).status).to.equal(200);
  });

  it('can be injected on the way: a fault never hits a call received before it', async () => {
    const server = await startMarket({ latencyMs: 40 });
    try {
      const call = ask(server.url + path);
      while (server.callCount() === 0) await turn();
      server.inject('server-error');
      expect((await call).status).to.equal(200);
      expect((await ask(server.url + path)).status).to.equal(500);
    } finally {
      await server.close();
    }
  });
});
