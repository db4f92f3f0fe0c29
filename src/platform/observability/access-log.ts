/**
 * The access log: one line for each request, in the same form and place as the logger's lines. It is written by hand because
 * the logger's way (an object, its serialisers, a write each) costs several times as much, which matters for a line per cached
 * read. Requests only leave an entry; lines are made of many entries at a time, ten times a second and when the process exits.
 * Made one by one between requests, the same lines cost a cached read a quarter of its throughput.
 */
import { hostname } from 'node:os';
import { symbols } from 'pino';
import type { Logger } from './logger.ts';

/** What is known of a request when it is over. Everything but the path is ours or was checked. */
interface AccessEntry {
  readonly requestId: string;
  readonly method: string;
  /** As the client sent it, without the query, which may hold secrets. */
  readonly path: string;
  readonly route: string;
  readonly status: number;
  /** When the request was over, in milliseconds since the epoch. */
  readonly at: number;
  /** Time taken in milliseconds. */
  readonly ms: number;
  readonly userId: string | undefined;
}

const info = 30;

/** Entries are held for this long (ms). */
const holdMs = 100;
/** Entries that are held; a full hold is written at once. */
const holdEntries = 512;

/** Writes one entry to the same place as `log`, unless its level is above `info`. */
export function createAccessLog(log: Logger): (entry: AccessEntry) => void {
  const destination = (log as unknown as Record<symbol, { write(lines: string): void }>)[symbols.streamSym];
  const bindings = JSON.stringify({ pid: process.pid, hostname: hostname(), ...log.bindings() }).slice(1, -1);
  const timestamp = createTimestamp();
  const held: AccessEntry[] = [];

  function lineOf({ at, requestId, method, path, route, status, ms, userId }: AccessEntry): string {
    const user = userId === undefined ? '' : `,"user":"${userId}"`;
    return (
      `{"level":${info},"time":"${timestamp(at)}",${bindings},"req":"${requestId}","method":"${method}",` +
      `"path":${JSON.stringify(path)},"route":"${route}","status":${status},"ms":${ms.toFixed(3)}${user},"msg":"request"}\n`
    );
  }

  function handOver(): void {
    if (held.length > 0) destination?.write(held.map(lineOf).join(''));
    held.length = 0;
  }
  atExit(handOver);

  return (entry) => {
    if (!log.isLevelEnabled('info')) return;
    if (held.push(entry) === 1) setTimeout(handOver, holdMs).unref();
    if (held.length === holdEntries) handOver();
  };
}

const lastActs = new Set<() => void>();

/** Runs `act` when the process exits, before the destinations of logs flush for the last time. */
function atExit(act: () => void): void {
  if (lastActs.size === 0) process.prependListener('exit', () => lastActs.forEach((each) => each()));
  lastActs.add(act);
}

/** ISO time of a moment; requests of the same millisecond share the text. */
function createTimestamp(): (now: number) => string {
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
