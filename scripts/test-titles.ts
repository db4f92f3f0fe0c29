/**
 * Says which titles of tests are lost against test/fixtures/contract/titles.txt (the full titles, sorted, one a line) and then
 * exits with 1. With `--write` it writes the file anew instead. What is lost on purpose has its reason in the commit.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

const root = resolve(import.meta.dirname, '..');
const file = join(root, 'test/fixtures/contract/titles.txt');

/** Full titles of all tests, without running them. */
async function titlesNow(): Promise<string[]> {
  const folder = await mkdtemp(join(tmpdir(), 'titles-'));
  try {
    const output = join(folder, 'tests.json');
    const args = [
      '--dry-run',
      '--reporter',
      'json',
      '--reporter-option',
      `output=${output}`,
      'test/**/*.test.ts',
    ];
    const child = spawn(join(root, 'node_modules/.bin/mocha'), args, {
      cwd: root,
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    const [code] = (await once(child, 'exit')) as [number | null];
    if (code !== 0) throw new Error(`mocha ended with ${code}`);
    const { tests } = JSON.parse(await readFile(output, 'utf8')) as { tests: { fullTitle: string }[] };
    return tests.map(({ fullTitle }) => fullTitle.replaceAll('\n', ' ')).sort();
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Elements of one list that the other has not, or has less often. */
function missingIn(other: readonly string[], list: readonly string[]): string[] {
  const left = new Map<string, number>();
  for (const title of other) left.set(title, (left.get(title) ?? 0) + 1);
  return list.filter((title) => {
    const count = left.get(title) ?? 0;
    left.set(title, count - 1);
    return count <= 0;
  });
}

const now = await titlesNow();
if (process.argv.includes('--write')) {
  await writeFile(file, `${now.join('\n')}\n`);
  process.stdout.write(`${now.length} titles written\n`);
} else {
  const pinned = (await readFile(file, 'utf8')).trimEnd().split('\n');
  const lost = missingIn(now, pinned);
  for (const title of lost) process.stdout.write(`- ${title}\n`);
  process.stdout.write(
    `${pinned.length} titles pinned, ${now.length} now, ${lost.length} lost, ${missingIn(pinned, now).length} new\n`,
  );
  process.exitCode = lost.length === 0 ? 0 : 1;
}
