/**
 * All tests, in two runs of mocha side by side, each with a Postgres and a Redis of its own: most tests of whole processes
 * wait for something, and the others can use the time. The output of the second run follows that of the first. Arguments go
 * to both (`npm test -- --grep budget`).
 */
import { spawn } from 'node:child_process';

const runs = [
  ['test/{unit,integration,http}/**/*.test.ts', 'test/e2e/[a-d]*.test.ts'],
  ['test/e2e/[e-z]*.test.ts'],
];

interface Run {
  readonly code: number;
  readonly output: string;
}

async function main(): Promise<void> {
  const given = process.argv.slice(2);
  const outcomes = await Promise.all(runs.map((files, index) => runMocha([...files, ...given], index === 0)));
  for (const { output } of outcomes) process.stdout.write(output);
  process.exitCode = Math.max(...outcomes.map(({ code }) => code));
}

/** Runs mocha; shows what it says at once, or keeps it for later. */
function runMocha(args: readonly string[], isLive: boolean): Promise<Run> {
  const child = spawn('mocha', args, { stdio: ['ignore', isLive ? 'inherit' : 'pipe', 'inherit'] });
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => child.kill(signal));
  const parts: Buffer[] = [];
  child.stdout?.on('data', (part: Buffer) => parts.push(part));
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => resolve({ code: code ?? 1, output: Buffer.concat(parts).toString() }));
  });
}

await main();
