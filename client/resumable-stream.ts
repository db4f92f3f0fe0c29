/**
 * An event stream that outlives its connections. Each connection names the last id that was seen, so that the server sends
 * what came after it; the consumer sees one stream without gaps or repetitions.
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
}

const defaultSilenceMs = 45_000;
const defaultMaxFailures = 8;
const defaultRetryMs = 500;
const maxPauseMs = 15_000;

/** What is remembered from one connection to the next. */
interface Position {
  lastEventId: string | undefined;
  /** Connections in a row that brought nothing. */
  failures: number;
  retryMs: number;
}

/**
 * Yields messages until the consumer stops.
 * @throws {PricepoolError} when the server refuses for good, or when connections fail too often in a row; the signal's
 * reason when it aborts.
 */
export async function* resumableStream(request: StreamRequest): AsyncGenerator<SseMessage, never> {
  const { signal, lastEventId, maxFailures = defaultMaxFailures } = request;
  const position: Position = { lastEventId, failures: 0, retryMs: defaultRetryMs };
  for (;;) {
    let problem: unknown = new Error('the server ended the stream');
    try {
      yield* connection(request, position);
    } catch (error) {
      signal?.throwIfAborted();
      if (error instanceof PricepoolError && !error.isTransient) throw error;
      problem = error;
    }
    position.failures += 1;
    if (position.failures >= maxFailures) throw brokenOff(problem);
    const pauseMs = Math.min(maxPauseMs, position.retryMs * 2 ** (position.failures - 1));
    await pause(pauseMs * (0.75 + Math.random() / 4), signal);
  }
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
    const reader = response.body?.getReader();
    if (reader === undefined) throw new Error('the answer has no body');
    const decoder = new TextDecoder();
    for (let chunk = await reader.read(); !chunk.done; chunk = await reader.read()) {
      watch.heard();
      parser.push(decoder.decode(chunk.value as Uint8Array, { stream: true }));
      for (const message of messages.splice(0)) {
        note(message, position);
        yield message;
      }
      watch.heard();
    }
  } finally {
    watch.end();
  }
}

function note({ id, event }: SseMessage, position: Position): void {
  if (id !== undefined) position.lastEventId = id;
  // A greeting alone is no sign of health: a server in trouble may greet and hang up each time.
  if (id !== undefined || event === 'hb') position.failures = 0;
}

interface SilenceWatch {
  /** Aborts after the silence, with the outer signal, and at {@link SilenceWatch.end}. */
  readonly signal: AbortSignal;
  heard(): void;
  /** Closes the connection if it is still open. */
  end(): void;
}

function watchSilence(silenceMs: number, outer: AbortSignal | undefined): SilenceWatch {
  const controller = new AbortController();
  const arm = () =>
    setTimeout(() => controller.abort(new Error(`the stream was silent for ${silenceMs} ms`)), silenceMs);
  let timer = arm();
  return {
    signal: outer === undefined ? controller.signal : AbortSignal.any([outer, controller.signal]),
    heard() {
      clearTimeout(timer);
      timer = arm();
    },
    end() {
      clearTimeout(timer);
      controller.abort(new Error('the stream is no longer wanted'));
    },
  };
}

function brokenOff(problem: unknown): PricepoolError {
  if (problem instanceof PricepoolError) return problem;
  const reason = problem instanceof Error ? problem.message : String(problem);
  return new PricepoolError(`The stream broke off: ${reason}`, {
    status: 0,
    code: 'stream_broken',
    cause: problem,
  });
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
