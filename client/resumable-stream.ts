/**
 * An event stream that outlives its connections. Each connection names the last id that was seen, so that the server sends what
 * came after it; the consumer sees one stream without gaps or duplicates. The server may say when to reconnect (`retry`,
 * `drain`, `limit`, Retry-After), and that there is no need to (`end` with `reconnect: false`, or 204).
 */
import { errorOfResponse, PricepoolError } from './pricepool-error.ts';
import { SseParser, type SseMessage } from './sse-parser.ts';

/** How to open one connection, and how patient to be. */
export interface StreamRequest {
  readonly connect: (headers: Record<string, string>, signal: AbortSignal) => Promise<Response>;
  readonly lastEventId?: string | undefined;
  readonly signal?: AbortSignal | undefined;
  /** A connection that is silent for so long (ms) is taken for dead. The server sends something every 15 s. */
  readonly silenceMs?: number;
  /** Connections in a row that bring nothing, after which the stream is given up. */
  readonly maxFailures?: number;
  /** Longest pause (ms) before the next connection, unless the server asks for a longer one. */
  readonly maxPauseMs?: number;
  /**
   * Called when a connection was lost or refused, before the pause (ms) until the next attempt, so that the caller can show
   * that no data is arriving.
   */
  readonly onInterruption?:
    ((interruption: { readonly reason: string; readonly pauseMs: number }) => void) | undefined;
}

const defaultSilenceMs = 40_000;
const defaultMaxFailures = 8;
const defaultRetryMs = 500;
const defaultMaxPauseMs = 15_000;
/** Nobody is made to wait longer (ms), whatever a server or a proxy on the way may say. */
const longestRequestedPauseMs = 3_600_000;

/** What is remembered from one connection to the next. */
interface Position {
  lastEventId: string | undefined;
  /** Connections in a row that brought nothing. */
  failures: number;
  retryMs: number;
  /** The server has said when to come back. */
  requestedPauseMs: number | undefined;
  /** The server has said that nothing follows. */
  isOver: boolean;
}

/**
 * Yields messages until the consumer stops or the server says that nothing follows.
 * @throws {PricepoolError} when the server refuses with an error that a retry cannot fix, or when connections fail too often in
 * a row; the signal's reason when it aborts.
 */
export async function* resumableStream(request: StreamRequest): AsyncGenerator<SseMessage, void> {
  const { signal, lastEventId, maxFailures = defaultMaxFailures, onInterruption } = request;
  const position: Position = {
    lastEventId,
    failures: 0,
    retryMs: defaultRetryMs,
    requestedPauseMs: undefined,
    isOver: false,
  };
  for (;;) {
    let problem: unknown = new Error('the server ended the stream');
    position.requestedPauseMs = undefined;
    try {
      yield* connection(request, position);
    } catch (error) {
      signal?.throwIfAborted();
      if (error instanceof PricepoolError && !error.isTransient) throw error;
      problem = error;
    }
    if (position.isOver) return;
    position.failures += 1;
    if (position.failures >= maxFailures) throw brokenOff(problem);
    const pauseMs = pauseAfter(problem, position, request);
    onInterruption?.({ reason: reasonOf(problem), pauseMs });
    await pause(pauseMs, signal);
  }
}

/** The server's wish, or the retry time, doubled with each failure and less a random part, so that clients come one by one. */
function pauseAfter(problem: unknown, position: Position, { maxPauseMs }: StreamRequest): number {
  const retryAfter = problem instanceof PricepoolError ? problem.retryAfterSeconds : undefined;
  const requestedMs = position.requestedPauseMs ?? (retryAfter === undefined ? undefined : retryAfter * 1000);
  if (requestedMs !== undefined)
    return Math.min(longestRequestedPauseMs, requestedMs * (1 + Math.random() / 4));
  const doubledMs = position.retryMs * 2 ** Math.min(20, position.failures - 1);
  return Math.min(maxPauseMs ?? defaultMaxPauseMs, doubledMs) * (0.75 + Math.random() / 4);
}

async function* connection(
  { connect, signal, silenceMs = defaultSilenceMs }: StreamRequest,
  position: Position,
): AsyncGenerator<SseMessage, void> {
  const { lastEventId } = position;
  const watch = watchSilence(silenceMs, signal);
  const headers = {
    accept: 'text/event-stream',
    ...(lastEventId === undefined ? {} : { 'last-event-id': lastEventId }),
  };
  const messages: SseMessage[] = [];
  const parser = new SseParser({
    onMessage: (message) => messages.push(message),
    onRetry: (ms) => (position.retryMs = ms),
  });
  try {
    const response = await connect(headers, watch.signal);
    if (!response.ok) throw await errorOfResponse(response);
    if (response.status === 204) {
      position.isOver = true;
      return;
    }
    const reader = response.body?.getReader();
    if (reader === undefined) throw new Error('the answer has no body');
    const decoder = new TextDecoder();
    for (let chunk = await reader.read(); !chunk.done; chunk = await reader.read()) {
      // The consumer may take its time: that is not the server's silence.
      watch.rest();
      parser.push(decoder.decode(chunk.value as Uint8Array, { stream: true }));
      for (const message of messages.splice(0)) {
        note(message, position);
        yield message;
      }
      if (position.isOver) return;
      watch.listen();
    }
  } finally {
    watch.end();
  }
}

function note({ id, event, data }: SseMessage, position: Position): void {
  if (id !== undefined) position.lastEventId = id;
  // A greeting alone is no sign of health: a server in trouble may greet and hang up each time.
  if (id !== undefined || event === 'heartbeat') position.failures = 0;
  if (event !== 'end' && event !== 'drain' && event !== 'limit') return;
  const { reconnect, retry_ms: retryMs } = partingOf(data);
  position.isOver = event === 'end' && reconnect === false;
  if (typeof retryMs === 'number' && retryMs >= 0) position.requestedPauseMs = retryMs;
}

function partingOf(data: string): { readonly reconnect?: unknown; readonly retry_ms?: unknown } {
  const parsed: unknown = JSON.parse(data);
  return typeof parsed === 'object' && parsed !== null ? parsed : {};
}

function watchSilence(silenceMs: number, outer: AbortSignal | undefined) {
  const controller = new AbortController();
  let timer: ReturnType<typeof setTimeout> | undefined;
  /** Until the next `listen` silence does not count. */
  const rest = (): void => clearTimeout(timer);
  const listen = (): void => {
    rest();
    const silent = (): void => controller.abort(new Error(`the stream was silent for ${silenceMs} ms`));
    timer = setTimeout(silent, silenceMs);
  };
  listen();
  return {
    /** Aborts after the silence, with the outer signal, and at `end`. */
    signal: outer === undefined ? controller.signal : AbortSignal.any([outer, controller.signal]),
    listen,
    rest,
    /** Closes the connection if it is still open. */
    end() {
      rest();
      controller.abort(new Error('the stream was stopped'));
    },
  };
}

function brokenOff(problem: unknown): PricepoolError {
  if (problem instanceof PricepoolError) return problem;
  return new PricepoolError(`The stream was interrupted: ${reasonOf(problem)}`, {
    status: 0,
    code: 'stream_broken',
    cause: problem,
  });
}

function reasonOf(problem: unknown): string {
  return problem instanceof Error ? problem.message : String(problem);
}

async function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  signal?.throwIfAborted();
  await new Promise<void>((resolve) => {
    const end = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', end);
      resolve();
    };
    const timer = setTimeout(end, ms);
    signal?.addEventListener('abort', end, { once: true });
  });
  signal?.throwIfAborted();
}
