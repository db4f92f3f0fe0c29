import { expect } from 'chai';
import { freePort } from '../../embedded/free-port.ts';
import { newUser, type ApiClient } from '../support/api-client.ts';
import { startStack, type Stack } from '../support/stack.ts';

const apiKey = 'CG-abcdefghijklmnopqrstuvwx';

describe('a price source that cannot be reached', () => {
  let stack: Stack;
  let user: ApiClient;
  let host: string;

  before(async function () {
    this.timeout(120_000);
    host = `127.0.0.1:${await freePort()}`;
    const environment = { PROVIDER: 'coingecko', COINGECKO_PLAN: 'demo', COINGECKO_API_KEY: apiKey };
    stack = await startStack({ apis: 1, workers: 1, providerUrl: `http://${host}/api/v3`, environment });
    user = await newUser(stack.apis[0]!.url);
  });
  after(() => stack.stop());

  it('says at its start how it is used, and at each failure why: in the log, the statistics and the metrics', async () => {
    expect((await user.call('GET', '/crypto/bitcoin')).status).to.equal(503);

    const lines = (await stack.workers[0]!.log())
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as Record<string, unknown> & { msg: string });
    const begin = lines.find(({ msg }) => msg === 'price source configured');
    expect(begin).to.include({
      ...{ provider: 'coingecko', plan: 'demo', masked: 'CG-ab…' },
      ...{ callsPerMinute: 30, creditsPerMonth: 10_000, host },
    });
    const failed = { cause: 'connection', code: 'ECONNREFUSED', host, status: null };
    expect(lines.find(({ msg }) => msg === 'first call to the price source failed')).to.include(failed);
    expect(
      lines.find(({ msg }) => msg.startsWith('calls to the price source fail (connection): ')),
    ).to.include(failed);
    expect(JSON.stringify(lines)).to.not.include(apiKey);

    const { data } = (await user.call('GET', '/crypto/cache/stats')).body!;
    const [source] = data.sources as [{ last_failure: object }];
    expect(source.last_failure).to.include(failed);
    const metrics = await (await fetch(`${stack.apis[0]!.url}/metrics`)).text();
    expect(metrics).to.match(/^upstream_failures_total\{cause="connection"\} [1-9]/m);
  });
});
