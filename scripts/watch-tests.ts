/** `npm run test:watch [-- files]`: runs the unit tests, or the files given, again whenever a source changes, until Ctrl-C. */
import { watch } from 'node:fs';
import { join } from 'node:path';
import { projectRoot } from '../embedded/project-root.ts';
import { runMocha } from './mocha.ts';

const folders = ['src', 'workers', 'jobs', 'db', 'embedded', 'client', 'test'];
/** An editor that saves several files saves them within this time. */
const settleMs = 100;

const given = process.argv.slice(2);
const files = given.length > 0 ? given : ['test/unit/**/*.test.ts'];
let timer: NodeJS.Timeout | undefined;
let isRunning = false;
let hasChanged = false;

async function run(): Promise<void> {
  isRunning = true;
  do {
    hasChanged = false;
    await runMocha(files);
  } while (hasChanged as boolean);
  isRunning = false;
  process.stdout.write('Waiting for changes\n');
}

function changed(): void {
  clearTimeout(timer);
  timer = setTimeout(() => {
    hasChanged = true;
    if (!isRunning) void run();
  }, settleMs);
}

for (const folder of folders) watch(join(projectRoot, folder), { recursive: true }, changed);
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => process.exit());
await run();
