import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { loadEnvironmentFile } from '../src/platform/config/env-file.ts';
import { isBuildCurrent } from './build-state.ts';
import { projectRoot } from './project-root.ts';
import { run } from './run-stack.ts';

/** `npm start`: brings up Pricepool with everything that is not configured. Runs what is in dist/ unless the sources are newer. */
if (import.meta.filename.endsWith('.ts') && isBuildCurrent(projectRoot)) {
  await import(pathToFileURL(join(projectRoot, 'dist/embedded/up.js')).href);
} else {
  loadEnvironmentFile();
  const startedAt = Date.now() - process.uptime() * 1_000;
  process.exit(await run({ environment: process.env, startedAt }));
}
