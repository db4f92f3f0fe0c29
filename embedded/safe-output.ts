/**
 * Preloaded into PM2 by `npm run fleet`. PM2 writes its own output and that of its processes, and would end when the
 * disk is full or the reader has gone, and wait without end for a reader that does not read; the fleet would end or
 * hang with it. With this, output that cannot be written is dropped.
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
