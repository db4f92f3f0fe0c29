import { pino, type Logger as PinoLogger, type LevelWithSilent } from 'pino';

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

/** A structured logger that redacts secrets. */
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
  const destination = pino.destination({
    ...(file === undefined ? { dest: 1 } : { dest: file, mkdir: true }),
    sync: false,
    ...(file === undefined ? { minLength: 0 } : { minLength: chunkBytes, maxWrite: 2 * chunkBytes }),
    periodicFlush: 250,
  });
  return pino(
    { name, level, redact: { paths, censor: '[redacted]' }, timestamp: pino.stdTimeFunctions.isoTime },
    destination,
  );
}

/** A logger that says nothing. */
export function silentLogger(): Logger {
  return pino({ level: 'silent' });
}
