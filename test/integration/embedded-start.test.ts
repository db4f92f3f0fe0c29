import { expect } from 'chai';
import { execFile } from 'node:child_process';
import { constants } from 'node:fs';
import { mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { startEmbeddedRun } from '../support/embedded-run.ts';
import { waitFor } from '../support/wait-for.ts';

describe('npm start before it has its data folder', function () {
  this.timeout(120_000);

  it('ends at a signal, though the folder never answers', async () => {
    const dataDir = await mkdtemp(join(tmpdir(), 'pricepool-start-'));
    // A lock that can be opened by whoever reads it and never has anything to read.
    const lock = join(dataDir, 'up.lock');
    await promisify(execFile)('mkfifo', [lock]);
    const run = await startEmbeddedRun({ dataDir });
    const held = await waitFor(
      () => open(lock, constants.O_WRONLY | constants.O_NONBLOCK).catch(() => undefined),
      { what: 'the run to read the lock' },
    );
    try {
      run.child.kill('SIGTERM');
      await waitFor(() => run.child.exitCode !== null || run.child.signalCode !== null, {
        what: 'the end of the run',
        timeoutMs: 30_000,
      });
      expect(await run.exited, run.output()).to.include({ signal: 'SIGTERM' });
    } finally {
      run.child.kill('SIGKILL');
      await held.close();
      await rm(dataDir, { recursive: true });
    }
  });
});
