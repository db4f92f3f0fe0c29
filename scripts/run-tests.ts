/**
 * The tests of the gate, in two runs of mocha side by side, each with a Postgres and a Redis of its own: most tests of whole
 * processes wait for something, and the others can use the time. The output of the second run follows that of the first.
 * Arguments go to both (`npm test -- --grep budget`). The tests in test/slow have a runner of their own.
 */
import { runMocha } from './mocha.ts';

const runs = [
  ['test/{unit,integration,http}/**/*.test.ts', 'test/e2e/[a-d]*.test.ts'],
  ['test/e2e/[e-z]*.test.ts'],
];

const given = process.argv.slice(2);
const outcomes = await Promise.all(
  runs.map((files, index) => runMocha([...files, ...given], { isLive: index === 0 })),
);
for (const { output } of outcomes) process.stdout.write(output);
process.exitCode = Math.max(...outcomes.map(({ code }) => code));
