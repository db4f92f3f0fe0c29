/**
 * The access log: one line for each request, in the form of the logger's own lines and to the same place. It is written by
 * hand because the logger's way (an object, its serialisers, a write each) costs several times as much, and a line for every
 * cached read is where that shows. Lines are handed over once per turn of the event loop.
 */
import { hostname } from 'node:os';
import { symbols } from 'pino';
import type { Logger } from './logger.ts';

/** What is known of a request when it is over. Everything but the path is ours or was checked. */
export interface AccessEntry {
  readonly requestId: string;
  readonly method: string;
  /** As the client sent it, without the query, which may hold secrets. */
  readonly path: string;
  readonly route: string;
  readonly status: number;
  /** Time taken in milliseconds. */
  readonly ms: number;
  readonly userId: string | undefined;
}

/** Writes one entry, unless the level of the log is above `info`. */
export type AccessLog = (entry: AccessEntry) => void;

interface Destination {
  write(lines: string): void;
}

const info = 30;

/** Lines of one turn of the event loop; what does not fit is handed over before. */
const chunkBytes = 65_536;
/** Longest encoding of one UTF-16 unit. */
const bytesPerUnit = 3;

/** An {@link AccessLog} that writes where `log` writes. */
export function createAccessLog(log: Logger): AccessLog {
  const destination = (log as unknown as Record<symbol, Destination>)[symbols.streamSym];
  const bindings = JSON.stringify({ pid: process.pid, hostname: hostname(), ...log.bindings() }).slice(1, -1);
  const stamp = createStamp();
  const chunk = Buffer.allocUnsafe(chunkBytes);
  let used = 0;

  function handOver(): void {
    if (used > 0) destination?.write(chunk.toString('utf8', 0, used));
    used = 0;
  }

  /** Each line becomes bytes at once: a long text of many small parts is slow to put together later. */
  function append(line: string): void {
    const most = line.length * bytesPerUnit;
    if (used + most > chunkBytes) handOver();
    if (most > chunkBytes) return destination?.write(line);
    if (used === 0) setImmediate(handOver);
    used += chunk.write(line, used);
  }

  return ({ requestId, method, path, route, status, ms, userId }) => {
    if (!log.isLevelEnabled('info')) return;
    const user = userId === undefined ? '' : `,"user":"${userId}"`;
    append(
      `{"level":${info},"time":"${stamp(Date.now())}",${bindings},"req":"${requestId}","method":"${method}",` +
        `"path":${JSON.stringify(path)},"route":"${route}","status":${status},"ms":${ms.toFixed(3)}${user},"msg":"request"}\n`,
    );
  };
}

/** ISO time of a moment; requests of the same millisecond share the text. */
function createStamp(): (now: number) => string {
  let at = 0;
  let text = '';
  return (now) => {
    if (now !== at) {
      at = now;
      text = new Date(now).toISOString();
    }
    return text;
  };
}
