import { mkdir, mkdtemp, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { buildStampPath, isBuildCurrent } from '../../../embedded/build-state.ts';

describe('a build', () => {
  const builtAt = Date.parse('2026-01-02T00:00:00Z');
  let root: string;

  /** Makes a file and its folders as if nothing had changed since then. */
  async function touch(path: string, timeMs: number): Promise<void> {
    const parts = path.split('/');
    await mkdir(join(root, ...parts.slice(0, -1)), { recursive: true });
    await writeFile(join(root, path), '');
    for (let depth = parts.length; depth > 0; depth -= 1) {
      await utimes(join(root, ...parts.slice(0, depth)), new Date(timeMs), new Date(timeMs));
    }
  }

  async function stamp(text: string): Promise<void> {
    await mkdir(join(root, 'dist'), { recursive: true });
    await writeFile(join(root, buildStampPath), text);
  }

  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), 'pricepool-build-'));
    await touch('src/platform/concurrency/clock.ts', builtAt - 1_000);
    await touch('tsconfig.json', builtAt - 1_000);
    await stamp(JSON.stringify({ started_at: new Date(builtAt).toISOString() }));
  });
  afterEach(() => rm(root, { recursive: true, force: true }));

  it('is current until a source changes, however deep it lies', async () => {
    expect(isBuildCurrent(root)).to.equal(true);
    await utimes(join(root, 'src/platform/concurrency/clock.ts'), new Date(builtAt), new Date(builtAt));
    expect(isBuildCurrent(root)).to.equal(false);
  });

  it('is not current once a source has been added or deleted, or its settings changed', async () => {
    await utimes(join(root, 'src/platform/concurrency'), new Date(builtAt + 1), new Date(builtAt + 1));
    expect(isBuildCurrent(root)).to.equal(false);
    await utimes(join(root, 'src/platform/concurrency'), new Date(builtAt - 1), new Date(builtAt - 1));
    expect(isBuildCurrent(root)).to.equal(true);
    await touch('tsconfig.json', builtAt + 1);
    expect(isBuildCurrent(root)).to.equal(false);
  });

  it('is none without its stamp, or with half of one', async () => {
    await stamp('{"started');
    expect(isBuildCurrent(root)).to.equal(false);
    await stamp('{}');
    expect(isBuildCurrent(root)).to.equal(false);
    await rm(join(root, 'dist'), { recursive: true });
    expect(isBuildCurrent(root)).to.equal(false);
  });

  it('is current where there are no sources, as in a release', async () => {
    await rm(join(root, 'src'), { recursive: true });
    await rm(join(root, 'tsconfig.json'));
    expect(isBuildCurrent(root)).to.equal(true);
  });
});
