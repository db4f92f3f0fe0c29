/** Who sees what of a job on a portfolio: keys by their scopes, and admins who do not own it. */
import { expect } from 'chai';
import { createAuthenticator } from '../../src/features/accounts/authenticator.ts';
import type { Authenticator } from '../../src/platform/http/admission.ts';
import type { Principal } from '../../src/domain/principal.ts';
import { createTokens } from '../../src/features/accounts/tokens.ts';
import type { Scope } from '../../src/domain/scopes.ts';
import { systemClock } from '../../src/platform/concurrency/clock.ts';
import { openSocket } from '../support/socket-client.ts';
import { jobId, jobRecord, startApi, type TestApi } from './support/ports.ts';
import { startSocketApi } from './support/socket-api.ts';
import { testSecret } from './support/stand-in-access.ts';

const self = `/api/v1/jobs/${jobId}`;
const events = `${self}/events`;

/** Takes a list of scopes for an API key of the owner that has them, and tokens for what they are. */
function keysByScopes(): Authenticator {
  const tokens = createTokens({
    secret: testSecret,
    expiresInSeconds: 60,
    ticketExpiresInSeconds: 60,
    clock: systemClock,
  });
  const revocations = { covers: () => false, isKnown: () => true };
  const real = createAuthenticator({ tokens, keys: {} as never, revocations });
  return {
    isCheap: () => true,
    dailyQuotaOf: () => undefined,
    authenticate: (credential) =>
      credential.text.startsWith('key+')
        ? keyWith(credential.text.slice(4).split('+') as Scope[])
        : real.authenticate(credential),
  };
}

function keyWith(scopes: readonly Scope[]): Principal {
  const keyId = '01934c2a-0000-7000-8000-0000000000ee';
  return { userId: jobRecord().userId, role: 'user', generation: 0, sessionId: undefined, keyId, scopes };
}

const secret = '{"twr":{"value":0.25}}';
const figures = jobRecord({ name: 'performance.compute', state: 'completed', resultJson: secret });

describe('jobs on portfolios', () => {
  let api: TestApi;

  beforeEach(async () => {
    api = await startApi({ authenticator: keysByScopes() });
    api.clientJobs.job = figures;
  });
  afterEach(() => api.close(0));

  const ask = (method: string, path: string, token: string): Promise<Response> =>
    api.call(method, path, { headers: { authorization: `Bearer ${token}` } });

  async function statuses(token: string): Promise<number[]> {
    const found: number[] = [];
    for (const path of [self, events]) {
      const response = await ask('GET', path, token);
      await response.text();
      found.push(response.status);
    }
    return [...found, (await ask('DELETE', self, token)).status];
  }

  async function listed(token: string): Promise<string[]> {
    const { data } = (await (await ask('GET', '/api/v1/jobs', token)).json()) as {
      data: { data: { id: string }[] };
    };
    return data.data.map(({ id }) => id);
  }

  it('are nothing to a key that may not read portfolios, and another job is', async () => {
    expect(await statuses('key+jobs:write')).to.deep.equal([404, 404, 404]);
    expect(await listed('key+jobs:write')).to.deep.equal([]);
    api.clientJobs.job = jobRecord();
    expect(await statuses('key+jobs:write')).to.deep.equal([200, 200, 200]);
    expect(await listed('key+jobs:write')).to.deep.equal([jobId]);
  });

  it('are read by a key that may read portfolios, cancelled by one that may change them, and no other job is', async () => {
    expect(await statuses('key+portfolio:read')).to.deep.equal([200, 200, 403]);
    expect(await statuses('key+portfolio:read+jobs:write')).to.deep.equal([200, 200, 403]);
    expect(await statuses('key+portfolio:read+portfolio:write')).to.deep.equal([200, 200, 200]);
    expect(await listed('key+portfolio:read')).to.deep.equal([jobId]);
    api.clientJobs.job = jobRecord();
    expect(await statuses('key+portfolio:read+portfolio:write')).to.deep.equal([404, 404, 404]);
    expect(await listed('key+portfolio:read')).to.deep.equal([]);
  });

  it('are told a key with neither right what it lacks', async () => {
    expect(await statuses('key+prices:read')).to.deep.equal([403, 403, 403]);
    expect(await (await ask('GET', self, 'key+prices:read')).text()).to.include(
      'jobs:write or portfolio:read',
    );
  });

  it('of others are ended by admins, who learn how they went and nothing of what came of them', async () => {
    api.clientJobs.job = { ...figures, userId: 'somebody else' };
    const seen = await (await ask('GET', self, api.adminToken)).text();
    expect(JSON.parse(seen)).to.have.property('data').that.includes({ state: 'completed', result: null });
    expect(seen).to.include('"progress"').and.not.include('twr');
    expect((await ask('GET', events, api.adminToken)).status).to.equal(404);
    const error = { code: 'header_not_valid', message: 'My salary is named twice' };
    api.clientJobs.job = { ...api.clientJobs.job, state: 'failed', resultJson: null, error };
    for (const method of ['GET', 'DELETE']) {
      const response = await ask(method, self, api.adminToken);
      expect(response.status).to.equal(200);
      expect(await response.text())
        .to.include('header_not_valid')
        .and.not.include('salary');
    }
    api.clientJobs.job = { ...figures, userId: jobRecord().userId };
    expect(await (await ask('GET', self, api.adminToken)).text()).to.include('twr');
  });

  it('are followed over a WebSocket by the same rule', async () => {
    const sockets = await startSocketApi(undefined, { authenticator: keysByScopes() });
    const onPortfolio = jobId.replace('aa', 'ee');
    try {
      for (const [scope, mine, refused] of [
        ['jobs:write', jobId, onPortfolio],
        ['portfolio:read', onPortfolio, jobId],
      ] as const) {
        const socket = await openSocket(sockets.base, { token: `key+prices:read+${scope}` });
        const answer = await socket.ask({ action: 'subscribe', jobs: [refused] });
        expect(answer).to.include({ action: 'problem', code: 'job_not_found' });
        expect(await socket.ask({ action: 'subscribe', jobs: [mine] })).to.include({
          action: 'subscribed',
          jobs: 1,
        });
        socket.ws.terminate();
      }
    } finally {
      await sockets.close();
    }
  });
});
