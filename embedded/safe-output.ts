/**
 * Preloaded into PM2 by `npm run fleet`. PM2 writes what it and the processes say to its own output, and would end with a full disk
 * or a reader that has gone, and wait for ever for one that does not read; the fleet ends or hangs with it. Through this, what
 * cannot be written is dropped.
 */
import { flushAtExit, openLogSink } from '../src/platform/observability/log-sink.ts';

type Done = (error?: Error | null) => void;

for (const [fd, stream] of [process.stdout, process.stderr].entries()) {
  const sink = openLogSink({ to: fd + 1 });
  flushAtExit(sink);
  stream.on('error', () => undefined);
  stream.write = (chunk: string | Uint8Array, encoding?: BufferEncoding | Done, done?: Done): boolean => {
    sink.write(typeof chunk === 'string' ? chunk : Buffer.from(chunk).toString());
    const written = typeof encoding === 'function' ? encoding : done;
    if (written !== undefined) process.nextTick(written);
    return true;
  };
}
