/** A log that cannot be written: no process ends, waits or keeps from ending because of it. */
import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect } from 'chai';
import { newUser } from '../../support/api-client.ts';
import { spawnMain, type MainProcess } from '../../support/spawn-main.ts';
import { startStack, type Stack } from '../../support/stack.ts';
import { waitFor } from '../../support/wait-for.ts';

describe('a log that cannot be written', function () {
  this.timeout(180_000);
  let stack: Stack;
  let api: MainProcess | undefined;

  before(async () => {
    stack = await startStack({ apis: 0, workers: 1 });
  });
  afterEach(() => void api?.child.kill('SIGKILL'));
  after(() => stack.stop());

  /** Asks for more than fits what waits for a disk, and expects every answer. */
  async function expectToServe({ url }: MainProcess): Promise<void> {
    const user = await newUser(url);
    for (let round = 0; round < 100; round += 1) {
      const answers = await Promise.all(Array.from({ length: 50 }, () => user.call('GET', '/health/live')));
      expect(new Set(answers.map(({ status }) => status))).to.deep.equal(new Set([200]));
    }
    const { body } = await user.call('POST', '/crypto/bulk', { body: { coins: ['bitcoin'] } });
    expect((await user.jobEnd(body?.data.id)).state).to.equal('completed');
  }

  const droppedLines = async ({ url }: MainProcess): Promise<number> => {
    const text = await (await fetch(`${url}/metrics`)).text();
    return Number(/^log_lines_dropped (\d+)$/m.exec(text)?.[1]);
  };

  async function expectToEnd({ child, end }: MainProcess): Promise<void> {
    child.kill('SIGINT');
    expect(await end('the end of the API', 12_000)).to.equal(0);
  }

  it('on a full disk: lines are dropped and counted', async () => {
    api = await spawnMain('src/main.ts', stack, { LOG_FILE: '/dev/full' });
    await api.started;
    await expectToServe(api);
    expect(await droppedLines(api)).to.be.greaterThan(0);
    await expectToEnd(api);
  });

  it('to a reader that has gone', async () => {
    api = await spawnMain('src/main.ts', stack);
    await api.started;
    api.child.stdout?.destroy();
    api.child.stderr?.destroy();
    await expectToServe(api);
    expect(await droppedLines(api)).to.be.greaterThan(0);
    await expectToEnd(api);
  });

  it('to a reader that does not read', async () => {
    api = await spawnMain('src/main.ts', stack);
    await api.started;
    api.child.stdout?.pause();
    await expectToServe(api);
    await expectToEnd(api);
  });

  it('in a file that cannot be opened: is said at the start, and goes to standard output', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'pricepool-log-'));
    const unread = join(folder, 'pipe');
    await promisify(execFile)('mkfifo', [unread]);
    // Below a file, where no folder can be made though there is one, a folder, and a pipe without a reader.
    for (const file of ['/dev/null/such.log', '/proc/such/api.log', folder, unread]) {
      api = await spawnMain('src/main.ts', stack, { LOG_FILE: file });
      await waitFor(() => api?.said.out.includes('API listens'), { what: `the start with ${file}` });
      expect(api.said.err).to.include(`LOG_FILE ${file} cannot be written (E`);
      await expectToServe(api);
      await expectToEnd(api);
    }
    await rm(folder, { recursive: true });
  });
});
