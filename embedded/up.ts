import { loadEnvironmentFile } from '../src/config/env-file.ts';
import { run } from './run.ts';

/** `npm start`: brings up Pricepool with everything that is not configured. */
loadEnvironmentFile();
const startedAt = Date.now() - process.uptime() * 1_000;
process.exit(await run({ environment: process.env, startedAt }));
