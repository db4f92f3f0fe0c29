import { loadEnvironmentFile } from '../src/platform/config/env-file.ts';
import { runDemo } from './demo/run-demo.ts';

/** `npm run demo`: the main job against a running API, in a terminal. */
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  // `npm run demo | head` closes the pipe when it has seen enough.
  process.exit(error.code === 'EPIPE' ? 0 : 1);
});
// The PORT of `npm start` may come from there.
loadEnvironmentFile();
process.exitCode = await runDemo({
  args: process.argv.slice(2),
  environment: process.env,
  out: process.stdout,
  complain: (message) => process.stderr.write(`${message}\n`),
});
