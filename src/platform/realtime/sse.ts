/**
 * Headers of every event stream; `Connection` is not among them, because the server knows best when it closes. `X-Accel-Buffering` keeps nginx from holding events back, `no-transform` keeps proxies from compressing.
 */
export const sseHeaders = {
  'Content-Type': 'text/event-stream; charset=utf-8',
  'Cache-Control': 'no-cache, no-transform',
  'X-Accel-Buffering': 'no',
} as const;

export interface SseEvent {
  readonly event: string;
  readonly data: string;
  readonly id?: string | undefined;
}

/**
 * Text of one event. `data` may hold line breaks; `event` and `id` may not, because they would forge fields.
 * @throws {RangeError} when they do.
 */
export function encodeSse({ event, data, id }: SseEvent): string {
  if (/[\r\n\0]/.test(event) || (id !== undefined && /[\r\n\0]/.test(id))) {
    throw new RangeError('event and id must not hold line breaks or NUL');
  }
  const lines = data.split(/\r\n|\r|\n/).map((line) => `data: ${line}\n`);
  return `${id === undefined ? '' : `id: ${id}\n`}event: ${event}\n${lines.join('')}\n`;
}
