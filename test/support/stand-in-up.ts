import { join } from 'node:path';
import { run } from '../../embedded/run-stack.ts';

/** `npm start` with tiny programs in the place of API and worker, for tests of what is around these. */
const scripts = {
  api: join(import.meta.dirname, 'stand-in-api.ts'),
  worker: join(import.meta.dirname, 'stand-in-worker.ts'),
};
process.exit(await run({ environment: process.env, startedAt: Date.now(), scripts }));
