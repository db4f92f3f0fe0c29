import fc from 'fast-check';

const factor = Number(process.env.TEST_RUNS_FACTOR ?? '1');
fc.configureGlobal({ numRuns: generatedRuns(100) });

/** How often a property is tried that asks for `count` runs: more often when `npm run test:slow -- generators` asks for it. */
export function generatedRuns(count: number): number {
  return Math.ceil(count * factor);
}
