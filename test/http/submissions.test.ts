/** The submission of jobs: what is counted, where the job is to be found, and what a client that waits is answered. */
import { expect } from 'chai';
import { createMetrics } from '../../src/platform/observability/metrics-registry.ts';
import { jobRecord, startApi, type TestApi } from './support/ports.ts';

describe('a submission', () => {
  let api: TestApi;
  let counted: string[];

  beforeEach(async () => {
    counted = [];
    api = await startApi({ metrics: { ...createMetrics(), jobSubmitted: (name) => counted.push(name) } });
  });
  afterEach(() => api.close(0));

  const submit = (headers: Record<string, string> = {}, more: object = {}): Promise<Response> =>
    api.call('POST', '/api/v1/crypto/bulk', { body: { coins: ['bitcoin'], ...more }, headers });
  const errorOf = async (response: Response) =>
    ((await response.json()) as { error: { code: string; message: string } }).error;

  it('is counted by its kind when it was accepted, and not when it was refused', async () => {
    expect((await submit()).status).to.equal(202);
    expect((await submit({}, { callback_url: 'https://10.0.0.1/' })).status).to.equal(422);
    expect(counted).to.deep.equal(['bulk.fetch']);
  });

  it('says where the job is and when to look, and waits for nothing unasked', async () => {
    const response = await submit();
    expect(response.headers.get('location')).to.equal(`/api/v1/jobs/${jobRecord().id}`);
    expect(response.headers.get('retry-after')).to.equal('7');
    expect(response.headers.get('preference-applied')).to.equal(null);
    expect(response.headers.get('vary')).to.include('Prefer');
    expect(api.clientJobs.waits).to.deep.equal([]);
  });

  it('waits as long as the client prefers, and says so, or as long as its body says', async () => {
    const preferring = await submit({ prefer: 'wait=5' });
    expect(preferring.headers.get('preference-applied')).to.equal('wait=5');
    const both = await submit({ prefer: 'wait=5' }, { timeout: 9 });
    expect(both.headers.get('preference-applied')).to.equal(null);
    expect(api.clientJobs.waits).to.deep.equal([5_000, 9_000]);
  });

  it('answers who waits with what the job came to', async () => {
    const statusOf = async (different: Parameters<typeof jobRecord>[0]) => {
      api.clientJobs.ended = jobRecord({ finishedAt: new Date(), ...different });
      const response = await submit({ prefer: 'wait=5' });
      return [response.status, response.status === 200 ? undefined : (await errorOf(response)).code];
    };
    const error = { code: 'no_such_coin', message: 'no such coin' };
    expect(await statusOf({ state: 'completed', resultJson: '{"a":1}' })).to.deep.equal([200, undefined]);
    expect(await statusOf({ state: 'cancelled' })).to.deep.equal([409, 'job_cancelled']);
    expect(await statusOf({ state: 'failed', error, errorStatus: 404 })).to.deep.equal([422, 'no_such_coin']);
    expect(await statusOf({ state: 'failed', error, errorStatus: 500 })).to.deep.equal([502, 'no_such_coin']);
    expect(await statusOf({ state: 'failed', error, errorStatus: null })).to.deep.equal([
      502,
      'no_such_coin',
    ]);
    expect(await statusOf({ state: 'failed' })).to.deep.equal([502, 'job_failed']);
  });

  it('reads the result that the end came without', async () => {
    api.clientJobs.ended = jobRecord({ state: 'completed', resultJson: null });
    api.clientJobs.job = jobRecord({ state: 'completed', resultJson: '{"a":1}' });
    const response = await submit({ prefer: 'wait=5' });
    expect(((await response.json()) as { data: unknown }).data).to.deep.equal({ a: 1 });
  });
});
