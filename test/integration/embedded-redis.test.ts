import { mkdtemp, readFile, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { Redis } from 'ioredis';
import { findOrProvisionRedisBinary } from '../../embedded/redis-binary.ts';
import { startRedis, type EmbeddedRedis } from '../../embedded/redis.ts';
import { silentLogger } from '../../src/platform/observability/logger.ts';
import { waitFor } from '../support/wait-for.ts';

describe('the embedded Redis', () => {
  const log = silentLogger();
  let dataDir: string;
  let client: Redis | undefined;
  let running: EmbeddedRedis | undefined;

  beforeEach(async () => {
    dataDir = await mkdtemp(join(tmpdir(), 'pricepool-redis-'));
  });

  function connect(url: string): Redis {
    client = new Redis(url, { maxRetriesPerRequest: null });
    client.on('error', () => undefined);
    return client;
  }

  async function appendOnlyFile(): Promise<string> {
    const folder = join(dataDir, 'redis/appendonlydir');
    const names = (await readdir(folder)).filter((name) => name.endsWith('.incr.aof'));
    return (await Promise.all(names.map((name) => readFile(join(folder, name), 'utf8')))).join('');
  }

  afterEach(async () => {
    client?.disconnect();
    await running?.stop();
    running = undefined;
    await rm(dataDir, { recursive: true, force: true });
  });

  it('comes back on its port with its data after a kill, so that a client just goes on', async () => {
    running = await startRedis({ dataDir, log });
    const { port, url } = running;
    const client = connect(url);
    await client.set('kept', 'yes');
    await waitFor(() => appendOnlyFile().then((text) => text.includes('kept')), {
      what: 'the key to be written',
    });
    process.kill(running.pid, 'SIGKILL');
    expect(await running.exited).to.deep.equal({ code: null, signal: 'SIGKILL' });
    running = await startRedis({ dataDir, port, log });
    expect(running.url).to.equal(url);
    expect(await client.get('kept')).to.equal('yes');
  });

  it('lets nobody in without the password and never evicts a key', async () => {
    running = await startRedis({ dataDir, log, throwaway: true });
    const stranger = new Redis(running.port, '127.0.0.1', {
      retryStrategy: () => null,
      maxRetriesPerRequest: 0,
    });
    stranger.on('error', () => undefined);
    const refusal = await stranger.get('x').catch((error: unknown) => String(error));
    expect(refusal).to.include('NOAUTH');
    stranger.disconnect();
    const client = connect(running.url);
    expect(await client.config('GET', 'maxmemory-policy')).to.deep.equal(['maxmemory-policy', 'noeviction']);
  });

  it('names every way out where no server can be had, and leaves nothing half done', async () => {
    const search = findOrProvisionRedisBinary({ folders: [dataDir], log, path: '/nonexistent' });
    const message = await search.then(
      () => 'found one',
      (error: unknown) => String(error),
    );
    for (const way of ['apt-get install', 'brew install', 'docker run', 'REDIS_URL=']) {
      expect(message).to.include(way);
    }
    expect(await readdir(dataDir)).to.deep.equal([]);
  });
});
