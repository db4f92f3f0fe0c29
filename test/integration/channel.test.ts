import { expect } from 'chai';
import { Redis } from 'ioredis';
import { z } from 'zod';
import { createChannel } from '../../src/platform/redis/channel.ts';
import { uniquePrefix } from '../support/redis.ts';
import { services } from '../support/services.ts';
import { waitFor } from '../support/wait-for.ts';

describe('a pub/sub channel', () => {
  let redis: Redis;
  let subscriber: Redis;
  let channel: string;

  before(async () => {
    const { redisUrl } = await services();
    redis = new Redis(redisUrl);
    subscriber = new Redis(redisUrl);
  });
  beforeEach(() => {
    channel = `${uniquePrefix()}:news`;
  });
  after(() => {
    redis.disconnect();
    subscriber.disconnect();
  });

  const subscribers = async (): Promise<unknown> => (await redis.pubsub('NUMSUB', channel))[1];

  it('carries messages to all who listen, and ignores what is none', async () => {
    const opened = createChannel({ redis, subscriber, channel, schema: z.object({ booked: z.string() }) });
    const heard: string[] = [];
    opened.listen(({ booked }) => heard.push(`a ${booked}`));
    const stop = opened.listen(({ booked }) => heard.push(`b ${booked}`));
    await waitFor(async () => (await subscribers()) === 1, { what: 'the subscription' });
    for (const stray of ['no JSON', 'null', '7', '{"booked":7}']) await redis.publish(channel, stray);
    await redis.publish(`${channel}:other`, '{"booked":"elsewhere"}');
    await opened.publish({ booked: 'first' });
    await waitFor(() => heard.length >= 2, { what: 'the first message' });
    stop();
    await opened.publish({ booked: 'second' });
    await waitFor(() => heard.length >= 3, { what: 'the second message' });
    expect(heard).to.deep.equal(['a first', 'b first', 'a second']);
  });

  it('lets a codec say how a message travels', async () => {
    const schema = z.codec(z.object({ id: z.string() }), z.string(), {
      decode: ({ id }) => id,
      encode: (id) => ({ id }),
    });
    const opened = createChannel({ redis, subscriber, channel, schema });
    const raw: string[] = [];
    subscriber.on('message', (from, text) => from === channel && raw.push(text));
    const heard: string[] = [];
    opened.listen((id) => heard.push(id));
    await waitFor(async () => (await subscribers()) === 1, { what: 'the subscription' });
    await opened.publish('x');
    await waitFor(() => heard.length > 0, { what: 'the message' });
    expect([raw, heard]).to.deep.equal([['{"id":"x"}'], ['x']]);
  });

  it('hears nothing before somebody listens, and tells of every gap', async () => {
    const opened = createChannel<{ n: number }>({ redis, subscriber, channel });
    expect(await subscribers()).to.equal(0);
    let gaps = 0;
    const heard: number[] = [];
    opened.listen(
      ({ n }) => heard.push(n),
      () => (gaps += 1),
    );
    await waitFor(() => gaps === 1, { what: 'the subscription' });
    await redis.call('CLIENT', 'KILL', 'TYPE', 'pubsub');
    await waitFor(() => gaps === 2, { what: 'the subscription after the gap' });
    await opened.publish({ n: 1 });
    await waitFor(() => heard.length > 0, { what: 'a message after the gap' });
    expect(heard).to.deep.equal([1]);
  });
});
