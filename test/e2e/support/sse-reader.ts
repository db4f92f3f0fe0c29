/** A client of an event stream that a test can stop, cut and question. */
import { request, type Agent, type IncomingHttpHeaders, type IncomingMessage } from 'node:http';
import { createParser } from 'eventsource-parser';

/** An event as it came. */
export interface ReadEvent {
  readonly event: string;
  readonly id: string | undefined;
  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- tests look into events of every shape
  readonly data: any;
  /** Milliseconds since the Unix epoch. */
  readonly at: number;
}

export interface SseReader {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly events: ReadEvent[];
  readonly comments: string[];
  /** The last `retry` (ms) that was told. */
  readonly retryMs: number | undefined;
  /** `clean` after the end of the response, `cut` after that of its connection. */
  readonly state: 'open' | 'clean' | 'cut';
  /** All data so far of the events of a name. */
  dataOf(event: string): ReadEvent['data'][];
  pause(): void;
  resume(): void;
  /** Ends the connection as a crash of the client would. */
  cut(): void;
}

interface ReadOptions {
  readonly headers?: Record<string, string>;
  /** Called with each event as it comes. */
  readonly onEvent?: (event: ReadEvent) => void;
  /** In place of a connection of its own. */
  readonly agent?: Agent;
  /** Makes the request a POST. */
  readonly body?: object;
}

/** Asks for a stream; resolves with its head. Whatever its status, the body is read as events. */
export async function readSse(url: string, options: ReadOptions = {}): Promise<SseReader> {
  const { headers = {}, body, agent = false } = options;
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    const requested = request(
      url,
      {
        method: body === undefined ? 'GET' : 'POST',
        headers: { ...headers, ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
        agent,
      },
      resolve,
    );
    requested.on('error', reject).end(body === undefined ? undefined : JSON.stringify(body));
  });
  return new Reader(response, options);
}

class Reader implements SseReader {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly events: ReadEvent[] = [];
  readonly comments: string[] = [];
  readonly #response: IncomingMessage;
  retryMs: number | undefined;
  state: 'open' | 'clean' | 'cut' = 'open';

  constructor(response: IncomingMessage, { onEvent }: ReadOptions) {
    this.#response = response;
    this.status = response.statusCode ?? 0;
    this.headers = response.headers;
    const parser = createParser({
      onEvent: ({ event = 'message', id, data }) => {
        const read = { event, id, data: data === '' ? undefined : JSON.parse(data), at: Date.now() };
        this.events.push(read);
        onEvent?.(read);
      },
      onComment: (comment) => void this.comments.push(comment),
      onRetry: (retryMs) => (this.retryMs = retryMs),
    });
    response.setEncoding('utf8');
    response.on('data', (text: string) => parser.feed(text));
    response.on('error', () => (this.state = 'cut'));
    response.on('close', () => (this.state = response.complete ? 'clean' : 'cut'));
  }

  dataOf(event: string): ReadEvent['data'][] {
    return this.events.filter((read) => read.event === event).map(({ data }) => data);
  }

  pause(): void {
    this.#response.pause();
  }

  resume(): void {
    this.#response.resume();
  }

  cut(): void {
    this.#response.destroy();
  }
}
