import { readFileSync } from 'node:fs';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { ensureBuild } from '../support/build.ts';
import { processesWith, startEmbeddedRun, type EmbeddedRun } from '../support/embedded-run.ts';
import { waitFor } from '../support/wait-for.ts';

describe('npm start beside a build of its sources', function () {
  this.timeout(120_000);
  let dataDir: string;
  let run: EmbeddedRun | undefined;

  before(async function () {
    this.timeout(240_000);
    await ensureBuild();
    dataDir = await mkdtemp(join(tmpdir(), 'pricepool-built-'));
    // Open to the user that Postgres runs as; otherwise its files would move elsewhere.
    await chmod(dataDir, 0o755);
  });

  after(async () => {
    await run?.end('SIGTERM');
    await waitFor(() => processesWith(dataDir).length === 0, { what: 'the end of every process of the run' });
    await rm(dataDir, { recursive: true, force: true });
  });

  it('runs API and worker from the build', async () => {
    run = await startEmbeddedRun({ dataDir, script: 'embedded/up.ts', env: { APP_ENV: 'test' } });
    await run.ready();
    const commands = processesWith(dataDir)
      .map((pid) => readFileSync(`/proc/${pid}/cmdline`, 'utf8'))
      .join('\n');
    expect(commands).to.include('dist/src/main.js').and.include('dist/workers/main.js');
    expect(await run.get('/health/ready')).to.be.an('object');
  });
});
