import { loadEnvironmentFile } from '../src/platform/config/env-file.ts';
import { runWatch } from './watch/run-watch.ts';

/** `npm run watch -- bitcoin ethereum`: live prices of a running API, in a terminal, until Ctrl-C. */
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  // `npm run watch -- bitcoin | head` closes the pipe when it has seen enough.
  process.exit(error.code === 'EPIPE' ? 0 : 1);
});
// The PORT of `npm start` may come from there.
loadEnvironmentFile();
const stop = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop.abort());
process.exitCode = await runWatch({
  args: process.argv.slice(2),
  environment: process.env,
  out: process.stdout,
  complain: (message) => process.stderr.write(`${message}\n`),
  signal: stop.signal,
});
