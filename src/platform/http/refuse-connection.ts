/**
 * Answers what the parser of node:http does not turn into a request: oversized headers, invalid HTTP, and requests that do not
 * arrive in time. They get the same error body as any other refusal, and the connection ends.
 */
import { STATUS_CODES, type Server, type ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { createRequestIds } from './request-id.ts';
import { constantHeaders } from './envelope.ts';
import { problemJson, type Problem } from './problem.ts';
import { toV3Refusal } from './v3-errors.ts';
import { v3Root } from './v3-path.ts';

type Refusal = Pick<Problem, 'status' | 'code' | 'message'>;

const refusals: Readonly<Record<string, Refusal>> = {
  HPE_HEADER_OVERFLOW: {
    status: 431,
    code: 'headers_too_large',
    message: 'The request headers are too large',
  },
  HPE_CHUNK_EXTENSIONS_OVERFLOW: {
    status: 413,
    code: 'body_too_large',
    message: 'The chunk extensions of the body are too large',
  },
  ERR_HTTP_REQUEST_TIMEOUT: {
    status: 408,
    code: 'request_timeout',
    message: 'The request did not arrive in time',
  },
};
const uriTooLong: Refusal = { status: 414, code: 'uri_too_long', message: 'The URL is too long' };
const malformed: Refusal = {
  status: 400,
  code: 'malformed_request',
  message: 'The request is not valid HTTP',
};

/**
 * For so long (ms) a refused client may read its answer before the connection is cut. To cut it at once would throw the
 * answer away while the client is still sending.
 */
const lingerMs = 1_000;

/** Installs these answers on `server`. `answering` maps a connection to its last response. */
export function refuseBrokenConnections(server: Server, answering: WeakMap<Duplex, ServerResponse>): void {
  const requestIds = createRequestIds();
  const refused = new WeakSet<Duplex>();

  server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
    // Each further piece that a refused client sends is one more error.
    if (refused.has(socket)) return;
    refused.add(socket);
    const response = answering.get(socket);
    const halfSent = response?.headersSent === true && !response.writableFinished;
    if (error.code === 'ECONNRESET' || !socket.writable || halfSent) {
      socket.destroy();
      return;
    }
    const line = requestLineOf(error);
    const isUrl = error.code === 'HPE_HEADER_OVERFLOW' && line !== undefined && line.length > longestLine;
    const refusal = isUrl ? uriTooLong : (refusals[error.code ?? ''] ?? malformed);
    const problem = { ...refusal, fields: undefined, retryAfterSeconds: undefined };
    const json = line?.includes(` ${v3Root}/`) === true ? toV3Refusal(undefined, problem).json : undefined;
    refuseOn(socket, { problem, requestId: requestIds(undefined), json });
  });
}

/** A request line beyond this (bytes) is what made the headers too large. */
const longestLine = 8_192;

/** The request line in what was parsed last, as far as it has come; undefined when the request had begun before. */
function requestLineOf(error: NodeJS.ErrnoException & { readonly rawPacket?: Buffer }): string | undefined {
  const text = error.rawPacket?.toString('latin1') ?? '';
  return /^[A-Z]{3,10} \//.test(text) ? (text.split('\r\n', 1)[0] ?? '') : undefined;
}

/** Sends an error response on a connection that has no response object, and ends it. */
export function refuseOn(socket: Duplex, answer: Parameters<typeof textOf>[0]): void {
  socket.end(textOf(answer));
  const cut = setTimeout(() => socket.destroy(), lingerMs);
  socket.once('close', () => clearTimeout(cut));
}

function textOf({
  problem,
  requestId,
  json,
  headers = [],
}: {
  readonly problem: Problem;
  readonly requestId: string;
  /** What is sent instead of the problem's own text. */
  readonly json?: string | undefined;
  /** Beside those that every answer has. */
  readonly headers?: readonly (readonly [string, string])[];
}): string {
  const { status } = problem;
  const body = json ?? problemJson(problem, requestId);
  const lines = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}`,
    ...[...constantHeaders, ...headers].map(([name, value]) => `${name}: ${value}`),
    `X-Request-Id: ${requestId}`,
    'Cache-Control: no-store',
    'Content-Type: application/json; charset=utf-8',
    `Content-Length: ${Buffer.byteLength(body)}`,
    'Connection: close',
  ];
  return `${lines.join('\r\n')}\r\n\r\n${body}`;
}
