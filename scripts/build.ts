/**
 * Builds everything that is built, into dist/: `npm run build`. With `--all` the tests and benches too (for their coverage
 * and their measurements), with `--if-changed` only when dist/ is older than the sources.
 */
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { buildStampPath, isBuildCurrent } from '../embedded/build-state.ts';
import { projectRoot } from '../embedded/project-root.ts';

/** Ends the build with the compiler's exit code when it finds an error. */
function compile(project: string): void {
  const compiler = join(projectRoot, 'node_modules/typescript/bin/tsc');
  const { status } = spawnSync(process.execPath, [compiler, '-p', project], {
    cwd: projectRoot,
    stdio: 'inherit',
  });
  if (status !== 0) process.exit(status ?? 1);
}

function build(withTests: boolean): void {
  const startedAt = new Date().toISOString();
  rmSync(join(projectRoot, 'dist'), { recursive: true, force: true });
  compile(withTests ? 'tsconfig.json' : 'tsconfig.build.json');
  if (withTests) {
    cpSync(join(projectRoot, 'test/fixtures'), join(projectRoot, 'dist/test/fixtures'), { recursive: true });
  }
  writeFileSync(join(projectRoot, buildStampPath), `${JSON.stringify({ started_at: startedAt })}\n`);
}

const { values: options } = parseArgs({
  options: { all: { type: 'boolean', default: false }, 'if-changed': { type: 'boolean', default: false } },
});
const isThere = isBuildCurrent(projectRoot) && (!options.all || existsSync(join(projectRoot, 'dist/test')));
if (!options['if-changed'] || !isThere) build(options.all);
