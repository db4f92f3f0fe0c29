/**
 * The tests that take too long for every change: `npm run test:slow` runs all areas, one after another, and
 * `npm run test:slow -- faults drills` those that are named. Fails when one of them fails; what follows runs all the same.
 */
import { existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { projectRoot } from '../embedded/project-root.ts';
import { runMocha } from './mocha.ts';

/** An area is the folder of its name in test/slow; `generators` runs tests of the gate too, many more times. */
const areas = {
  faults: 'Redis, workers and price sources that fail, and the budget of a whole fleet over minutes',
  browser: 'a page in a real browser (Chromium) and a real proxy (nginx) in between',
  drills: 'starts in all kinds of places, restarts, drains, silences, and clients that are slow',
  generators: 'whatever is made at random: every test that uses fast-check, with ten times the runs',
  scale: 'crowds of users, connections and updates',
} as const;
type Area = keyof typeof areas;

const moreRuns = { TEST_RUNS_FACTOR: '10' };
/** In minutes they have enough, whatever a busy machine does; a test may give itself another limit. */
const patience = ['--timeout', String(20 * 60_000)];

async function filesBelow(folder: string): Promise<string[]> {
  if (!existsSync(join(projectRoot, folder))) return [];
  const names = await readdir(join(projectRoot, folder), { recursive: true });
  return names
    .filter((name) => name.endsWith('.test.ts'))
    .map((name) => join(folder, name))
    .sort();
}

async function generatorFiles(): Promise<string[]> {
  const files = (
    await Promise.all(['test/unit', 'test/http', 'test/integration'].map((folder) => filesBelow(folder)))
  ).flat();
  const texts = await Promise.all(files.map((file) => readFile(join(projectRoot, file), 'utf8')));
  return files.filter((_, index) => texts[index]?.includes("from 'fast-check'"));
}

/** @returns whether all passed. */
async function runArea(area: Area): Promise<boolean> {
  process.stdout.write(`\n==> ${area}: ${areas[area]}\n`);
  const own = await filesBelow(join('test/slow', area));
  const files = area === 'generators' ? [...own, ...(await generatorFiles())] : own;
  if (files.length === 0) {
    process.stdout.write(`==> ${area} is empty: there is no test in test/slow/${area}\n`);
    return true;
  }
  const startedAt = Date.now();
  const args =
    area === 'generators' ? ['--require', 'test/support/generated-runs.ts', ...patience, ...files] : files;
  const { code } = await runMocha(args, { environment: area === 'generators' ? moreRuns : {} });
  const seconds = Math.round((Date.now() - startedAt) / 1_000);
  process.stdout.write(`==> ${area}: ${code === 0 ? 'passed' : 'FAILED'} after ${seconds} s\n`);
  return code === 0;
}

function isArea(name: string): name is Area {
  return Object.hasOwn(areas, name);
}

const given = process.argv.slice(2);
const unknown = given.filter((name) => !isArea(name));
if (unknown.length > 0) {
  process.stderr.write(`${unknown.join(', ')}: no such area. There are ${Object.keys(areas).join(', ')}.\n`);
  process.exit(2);
}
const failed: Area[] = [];
for (const area of (given.length === 0 ? Object.keys(areas) : given).filter(isArea)) {
  if (!(await runArea(area))) failed.push(area);
}
if (failed.length > 0) process.stdout.write(`\n==> FAILED: ${failed.join(', ')}\n`);
process.exitCode = failed.length === 0 ? 0 : 1;
