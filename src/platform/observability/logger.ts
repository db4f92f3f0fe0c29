import { writeSync } from 'node:fs';
import { pino, type Logger as PinoLogger, type LevelWithSilent } from 'pino';

import { messageOf } from '../../domain/errors.ts';
import { flushAtExit, openLogSink, type LogSink } from './log-sink.ts';

export type Logger = PinoLogger;

/** Names of fields whose values never reach a log line, at any of the first levels of nesting. */
const secretFields = [
  'password',
  'token',
  'refresh_token',
  'refreshToken',
  'passwordHash',
  'password_hash',
  'current_password',
  'x-api-key',
  'key',
  'authorization',
  'cookie',
  'apiKey',
  'api_key',
  'secret',
  'ticket',
];

/** Where the errors of Postgres quote the row or the values that they are about: hashes and e-mails among them. */
const quotingFields = ['detail', 'where', 'internalQuery'];

/** A write costs a change of threads, whatever its size. */
const chunkBytes = 65_536;
const standardOutput = 1;
const standardError = 2;

/**
 * A structured logger that redacts secrets. No process ends or waits because of its log: lines that cannot be written are
 * dropped and counted, and a file that cannot be opened is reported on standard error.
 */
export function createLogger({
  level,
  name,
  file,
}: {
  readonly level: LevelWithSilent;
  /** Name of the process: `api`, `worker`, `embedded`. */
  readonly name: string;
  /** File to append to; standard output when absent. Lines are buffered up to 64 KiB or 250 ms. */
  readonly file?: string | undefined;
}): Logger {
  const paths = [
    ...secretFields.flatMap((field) => [field, `*.${field}`, `*.*.${field}`]),
    ...quotingFields.flatMap((field) => [`err.${field}`, `err.*.${field}`]),
  ];
  const sink = openSink(name, file);
  flushAtExit(sink);
  // Libraries print there, and a reader that has gone would end the process.
  for (const stream of [process.stdout, process.stderr])
    if (!stream.listeners('error').includes(ignore)) stream.on('error', ignore);
  return pino(
    { name, level, redact: { paths, censor: '[redacted]' }, timestamp: pino.stdTimeFunctions.isoTime },
    sink,
  );
}

function openSink(name: string, file: string | undefined): LogSink {
  if (file === undefined) return openLogSink({ to: standardOutput });
  try {
    return openLogSink({ to: file, gatherBytes: chunkBytes });
  } catch (error) {
    complain(
      `${name}: LOG_FILE ${file} cannot be written (${messageOf(error)}); the log goes to standard output\n`,
    );
    return openLogSink({ to: standardOutput });
  }
}

/** Standard error may be gone too. */
function complain(text: string): void {
  try {
    writeSync(standardError, text);
  } catch {
    // There is nobody left to tell.
  }
}

const ignore = (): void => undefined;

/** A logger that writes nothing. */
export function silentLogger(): Logger {
  return pino({ level: 'silent' });
}
