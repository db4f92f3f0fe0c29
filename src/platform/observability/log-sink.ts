import { closeSync, constants, fstatSync, openSync, write, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { makeFolder } from '../make-folder.ts';

/**
 * The destination of log lines. It never throws, blocks or ends the process: lines that cannot be written are dropped and
 * counted.
 */
export interface LogSink {
  write(line: string): void;
  /** Writes at once what waits, as far as that is possible without waiting. For the end of a process. */
  flushSync(): void;
  /** A write has been under way for so long that it may never end. */
  isStuck(): boolean;
}

/**
 * Flushes a sink when the process ends. An orderly end waits for the thread that writes, so a process whose write is stuck ends by
 * SIGKILL.
 */
export function flushAtExit(sink: LogSink): void {
  process.on('exit', () => {
    sink.flushSync();
    if (sink.isStuck()) process.kill(process.pid, 'SIGKILL');
  });
}

let dropped = 0;

/** Log lines that this process has dropped since its start, because they could not be written. */
export function droppedLogLines(): number {
  return dropped;
}

/** What waits for a slow or full disk at most (bytes). The newest lines are dropped beyond it: the oldest say how it started. */
const maxWaitingBytes = 1_048_576;
/** Time (ms) after a failure before the next try. */
const retryMs = 1_000;
/** The same (ms) where a reader is only slower than we are. */
const fullPipeMs = 50;
/** A write that takes longer (ms) is one to a pipe that nobody reads. */
const stuckMs = 1_000;

interface SinkOptions {
  /** File descriptor, or path of a file to append to. */
  readonly to: number | string;
  /** Lines are gathered up to so many bytes, or for `gatherMs`; none are when 0. */
  readonly gatherBytes?: number;
  readonly gatherMs?: number;
  readonly maxBytes?: number;
}

/**
 * Opens a sink.
 * @throws what the system says when the file cannot be opened.
 */
export function openLogSink({
  to,
  gatherBytes = 0,
  gatherMs = 250,
  maxBytes = maxWaitingBytes,
}: SinkOptions): LogSink {
  const fd = typeof to === 'number' ? to : openForAppend(to);
  let waiting: string[] = [];
  let waitingBytes = 0;
  /** Bytes that are being written, or that a failed write has left. */
  let chunk: Buffer | undefined;
  let writingSince: number | undefined;
  let timer: NodeJS.Timeout | undefined;
  let isFailing = false;
  /** Dropped lines that the log itself has not told yet. */
  let unreported = 0;
  /** A pipe that nobody reads any more will never be read again. */
  let isGone = false;

  const drop = (lines: number): void => {
    dropped += lines;
    unreported += lines;
  };

  const later = (ms: number): void => {
    timer ??= setTimeout(() => {
      timer = undefined;
      next();
    }, ms).unref();
  };

  const take = (): Buffer | undefined => {
    if (waiting.length === 0) return undefined;
    const text = waiting.join('');
    waiting = [];
    waitingBytes = 0;
    return Buffer.from(text);
  };

  function next(): void {
    if (writingSince !== undefined || isGone) return;
    chunk ??= take();
    if (chunk === undefined) return;
    writingSince = performance.now();
    write(fd, chunk, (error, written) => {
      writingSince = undefined;
      if (error !== null) {
        if (error.code === 'EPIPE' || error.code === 'EBADF') giveUp();
        else {
          isFailing = true;
          later(error.code === 'EAGAIN' ? fullPipeMs : retryMs);
        }
        return;
      }
      isFailing = false;
      settle(written);
      if (chunk !== undefined || waitingBytes > gatherBytes) next();
      else if (waitingBytes > 0) later(gatherMs);
    });
  }

  /** What is left of the chunk after a write. A whole one is the moment to tell what was dropped. */
  function settle(written: number): void {
    chunk = chunk === undefined || written >= chunk.length ? undefined : chunk.subarray(written);
    if (chunk !== undefined || unreported === 0) return;
    const line = JSON.stringify({
      level: 40,
      time: new Date().toISOString(),
      dropped: unreported,
      msg: 'log lines were dropped',
    });
    unreported = 0;
    waiting.unshift(`${line}\n`);
    waitingBytes += line.length + 1;
  }

  function giveUp(): void {
    isGone = true;
    drop(waiting.length + linesIn(chunk));
    waiting = [];
    waitingBytes = 0;
    chunk = undefined;
  }

  const isStuck = (): boolean => writingSince !== undefined && performance.now() - writingSince > stuckMs;

  return {
    isStuck,
    write(line) {
      if (isGone || waitingBytes + (chunk?.length ?? 0) + line.length > maxBytes) {
        drop(1);
        return;
      }
      waiting.push(line);
      waitingBytes += line.length;
      if (waitingBytes > gatherBytes && !isFailing) next();
      else if (writingSince === undefined) later(gatherMs);
    },

    flushSync() {
      // A pipe that is full would keep the process here until somebody reads it.
      if (isGone || isStuck()) return;
      try {
        // What is being written is not written twice.
        let rest = writingSince === undefined ? chunk : undefined;
        if (writingSince === undefined) chunk = undefined;
        for (rest ??= take(); rest !== undefined; rest = take())
          while (rest.length > 0) rest = rest.subarray(writeSync(fd, rest));
      } catch {
        drop(1);
      }
    },
  };
}

const newline = 10;

function linesIn(bytes: Buffer | undefined): number {
  return bytes?.reduce((count, byte) => (byte === newline ? count + 1 : count), 0) ?? 0;
}

function openForAppend(path: string): number {
  makeFolder(dirname(path));
  // A named pipe without a reader would keep the process here until there is one.
  const flags = constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NONBLOCK;
  const fd = openSync(path, flags);
  if (!fstatSync(fd).isDirectory()) return fd;
  closeSync(fd);
  throw new Error(`the log file ${path} is a folder; choose another LOG_FILE`);
}
