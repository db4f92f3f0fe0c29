import type { Socket } from 'node:net';

/** What is to be done when a socket closes; one listener for all of it, however many requests a client pipelines. */
const acts = new WeakMap<Socket, Set<() => void>>();

/**
 * Calls `act` when the socket closes. A response that waits behind another one of its connection has no socket yet, and is
 * never told when the connection closes.
 * @returns what withdraws it.
 */
export function onSocketClose(socket: Socket, act: () => void): () => void {
  const ofSocket = acts.get(socket) ?? listenTo(socket);
  ofSocket.add(act);
  return () => void ofSocket.delete(act);
}

function listenTo(socket: Socket): Set<() => void> {
  const ofSocket = new Set<() => void>();
  acts.set(socket, ofSocket);
  socket.once('close', () => {
    for (const act of [...ofSocket]) act();
  });
  return ofSocket;
}
