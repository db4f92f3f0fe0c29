/** Clocks that are ahead, behind, or step: of a worker, of an API, and of Redis. Prices stay true, and each is fetched once. */
import { writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { Redis } from 'ioredis';
import { newUser, type ApiClient } from '../../support/api-client.ts';
import { clockByFile, clockOffBy } from '../../support/faketime.ts';
import { startStack, type Stack } from '../../support/stack.ts';
import { waitFor } from '../../support/wait-for.ts';

const freshSeconds = 3;
const hour = 3_600;
const roomMs = 60_000;

describe('clocks that are wrong', function () {
  this.timeout(240_000);
  let stack: Stack;
  let user: ApiClient;

  before(function () {
    if (clockOffBy(1) === undefined) this.skip();
  });
  beforeEach(async () => {
    stack = await startStack({
      workers: 0,
      ownRedis: true,
      environment: { QUOTE_TTL: `${freshSeconds}s`, UPSTREAM_CALLS_PER_MINUTE: '600' },
    });
    user = await newUser(stack.apis[0]!.url);
  });
  afterEach(() => stack.stop());

  const quoteOf = async (client: ApiClient): Promise<{ state: string; ageMs: number }> => {
    const { status, body } = await client.call('GET', '/crypto/bitcoin');
    expect([200, 202, 503]).to.include(status);
    const { state, received_at: at } = (body?.data ?? {}) as { state?: string; received_at?: string };
    return { state: state ?? '', ageMs: Date.now() - Date.parse(at ?? '') };
  };
  /** Waits until bitcoin is fresh, and was received within the time that it may be, by the true clock. */
  const untilTrue = (client: ApiClient): Promise<unknown> =>
    waitFor(
      async () => {
        const { state, ageMs } = await quoteOf(client);
        return state === 'fresh' && ageMs > -2_000 && ageMs < freshSeconds * 1_000 + 2_000;
      },
      { what: 'a fresh price of now', timeoutMs: roomMs },
    );

  it('of a worker: 20 s ahead it stamps by the time of all, and prices go on when it is right again', async () => {
    const worker = await stack.startWorker(clockOffBy(20));
    await untilTrue(user);
    expect((await quoteOf(user)).ageMs).to.be.above(-2_000);
    expect(await worker.log()).to.include("this machine's clock is off");
    worker.kill('SIGTERM');
    await worker.exited;
    await stack.startWorker();
    const calls = stack.market.callCount();
    await waitFor(
      async () => {
        await quoteOf(user);
        return stack.market.callCount() > calls;
      },
      { what: 'the next call', timeoutMs: roomMs },
    );
    await untilTrue(user);
  });

  it('of a worker: an hour off it rests, puts its jobs back, and goes on when the clock is set', async () => {
    const file = join(tmpdir(), `pricepool-clock-${process.pid}`);
    await writeFile(file, '+0s');
    const worker = await stack.startWorker(clockByFile(file));
    await untilTrue(user);
    for (const offset of [`+${hour}s`, `-${hour}s`]) {
      await writeFile(file, offset);
      const rests = async (): Promise<number> => (await worker.log()).split('its worker has paused').length;
      const before = await rests();
      await waitFor(async () => (await rests()) > before, { what: `a rest at ${offset}`, timeoutMs: roomMs });
      const job = await user.call('POST', '/crypto/bulk', { body: { coins: ['ethereum'] } });
      expect(job.status).to.equal(202);
      // At once after the pause one more may be handed over; it is put back.
      expect((await user.call('GET', `/jobs/${job.body?.data.id as string}`)).body?.data.state).to.be.oneOf([
        'queued',
        'running',
      ]);
      await writeFile(file, '+0s');
      expect(await user.jobEnd(job.body?.data.id as string)).to.include({ state: 'completed' });
    }
    expect(worker.isRunning()).to.equal(true);
    await untilTrue(user);
  });

  it('of an API: an hour ahead or behind it serves what the others do, and makes no call of its own', async () => {
    await stack.startWorker();
    const ahead = await newUser((await stack.startApi(clockOffBy(hour))).url);
    const behind = await newUser((await stack.startApi(clockOffBy(-hour))).url);
    await untilTrue(user);
    const calls = stack.market.callCount();
    const startedAt = Date.now();
    const until = startedAt + 4 * freshSeconds * 1_000;
    await waitFor(
      async () => {
        for (const client of [ahead, behind, user])
          expect((await quoteOf(client)).ageMs).to.be.within(-2_000, freshSeconds * 1_000 + 10_000);
        return Date.now() > until;
      },
      { what: 'the time', timeoutMs: roomMs },
    );
    // One call for each time that the quote grew old, whoever read.
    const most = Math.ceil((Date.now() - startedAt) / (freshSeconds * 1_000)) + 1;
    expect(stack.market.callCount() - calls).to.be.at.most(most);
    for (const token of [ahead.token, behind.token])
      expect(
        (
          await fetch(`${stack.apis[0]!.url}/api/v1/users/me`, {
            headers: { authorization: `Bearer ${token}` },
          })
        ).status,
      ).to.equal(200);
  });

  // Redis itself does not run under libfaketime (its allocator asks for the time): what it would have stored is put in its place.
  it('of Redis: it goes back by an hour, then forgets it, and no price is frozen', async () => {
    await stack.startWorker();
    await untilTrue(user);
    const redis = new Redis(stack.redisUrl);
    redis.on('error', () => undefined);
    const key = `${stack.redisPrefix}:clock`;
    const looked = async (change: () => Promise<unknown>): Promise<void> => {
      await change();
      const at = await redis.hget(key, 'last');
      await waitFor(async () => (await redis.hget(key, 'last')) !== at, {
        what: 'a look',
        timeoutMs: roomMs,
      });
    };
    // Tokens end by the time of the fleet, which is an hour ahead now.
    const read = async (): Promise<unknown> => {
      const { status, body } = await user.call('GET', '/crypto/bitcoin');
      if (status === 401) user = await newUser(stack.apis[0]!.url);
      return body?.data?.state;
    };
    const goesBack = async (): Promise<unknown> =>
      redis.hset(key, 'last', Number((await redis.time())[0]) * 1_000 + hour * 1_000);
    for (const change of [goesBack, () => redis.del(key)]) {
      await looked(change);
      for (let n = 0; n < 3; n++) {
        const calls = stack.market.callCount();
        await waitFor(
          async () => {
            await read();
            return stack.market.callCount() > calls;
          },
          { what: `call ${n + 1}`, timeoutMs: roomMs },
        );
      }
      await waitFor(async () => (await read()) === 'fresh', {
        what: 'a fresh price',
        timeoutMs: roomMs,
      });
    }
    redis.disconnect();
  });
});
