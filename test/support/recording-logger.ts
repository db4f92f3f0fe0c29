import type { Logger } from '../../src/platform/observability/logger.ts';

/** A line as a logger was given it. */
export interface LoggedLine {
  readonly level: 'fatal' | 'error' | 'warn' | 'info' | 'debug';
  readonly fields: Readonly<Record<string, unknown>>;
  readonly message: string;
}

/** A logger that remembers what it was given. */
export function recordingLogger(): { readonly log: Logger; readonly lines: LoggedLine[] } {
  const lines: LoggedLine[] = [];
  const at = (level: LoggedLine['level']) => (fields: LoggedLine['fields'] | string, message?: string) =>
    void lines.push(
      typeof fields === 'string'
        ? { level, fields: {}, message: fields }
        : { level, fields, message: message ?? '' },
    );
  const log = {
    fatal: at('fatal'),
    error: at('error'),
    warn: at('warn'),
    info: at('info'),
    debug: at('debug'),
  };
  return { log: log as unknown as Logger, lines };
}
