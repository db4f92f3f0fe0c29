/**
 * A server that listens for upgrades gets every request that asks for one, for any protocol: curl offers HTTP/2 in this way.
 * RFC 9110 (7.8) lets a server ignore protocols that it does not support, and node:http does so only while nobody listens. So
 * such a request is given back to the server unchanged, except for the offer.
 */
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { createRequestIds } from '../http/request-id.ts';
import type { Problem } from '../http/problem.ts';
import { refuseOn } from '../http/refuse-connection.ts';

/** Takes over the connection of a request that asks for another protocol. `head` is the data after the request. */
export type OnUpgrade = (request: IncomingMessage, socket: Duplex, head: Buffer) => void;

/** Of the request that asks, not of the one that is served. */
const offer = new Set(['upgrade', 'connection', 'http2-settings']);

const early: Problem = {
  status: 400,
  code: 'early_upgrade',
  message: 'Wait for the response to the previous request before asking for an upgrade',
  fields: undefined,
  retryAfterSeconds: undefined,
};

/**
 * Passes requests for WebSockets to `onUpgrade`, and all others back to the server. A request that was sent before the previous
 * one was answered is dropped: its reply would mix with that response. `answering` maps a connection to its last response.
 */
export function onlyWebSockets(
  server: Server,
  answering: WeakMap<Duplex, ServerResponse>,
  onUpgrade: OnUpgrade,
): OnUpgrade {
  const requestIds = createRequestIds();
  return (request, socket, head) => {
    const ahead = answering.get(socket);
    if (ahead !== undefined && !ahead.writableFinished) {
      socket.on('error', () => socket.destroy());
      if (ahead.headersSent) socket.destroy();
      else refuseOn(socket, { problem: early, requestId: requestIds(request.headers['x-request-id']) });
      return;
    }
    if (request.headers.upgrade?.trim().toLowerCase() === 'websocket') {
      onUpgrade(request, socket, head);
      return;
    }
    socket.unshift(Buffer.concat([Buffer.from(headOf(request), 'latin1'), head]));
    server.emit('connection', socket);
  };
}

function headOf({ method = 'GET', url = '/', httpVersion, rawHeaders }: IncomingMessage): string {
  const lines = [`${method} ${url} HTTP/${httpVersion}`];
  for (let at = 0; at + 1 < rawHeaders.length; at += 2) {
    const name = rawHeaders[at] ?? '';
    if (!offer.has(name.toLowerCase())) lines.push(`${name}: ${rawHeaders[at + 1] ?? ''}`);
  }
  // The body has been read once; a client that wants to keep a connection can open another.
  return `${lines.join('\r\n')}\r\nConnection: close\r\n\r\n`;
}
