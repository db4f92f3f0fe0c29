/**
 * Limits the connections of a server. Each costs some 10 KB and a file descriptor, and a process without descriptors reaches
 * neither Postgres nor its own disk; so the limit is below that of the process. One address gets a quarter of them; otherwise a
 * single machine that connects and sends nothing could shut out everybody else.
 */
import { readFileSync } from 'node:fs';
import type { Server, Socket } from 'node:net';
import { limitSubjectOf, normaliseAddress, unknownAddress } from './network.ts';

/** Connections, however many files may be open. */
const maxConnections = 20_000;
/** Files that are left for Postgres, Redis, the log and the program itself. */
const reservedFiles = 256;
/** However low the limit, so many connections are tried: of a whole server, and of one address. */
const fewest = 64;

/**
 * Connections that this process may hold at the same time, by its limit of open files; 20,000 where that cannot be read (on
 * Linux it can).
 */
export function maxConnectionsHere(): number {
  try {
    return maxConnectionsBy(readFileSync('/proc/self/limits', 'utf8'));
  } catch {
    return maxConnections;
  }
}

/** As {@link maxConnectionsHere}, by the text of `/proc/<process>/limits`. */
export function maxConnectionsBy(limits: string): number {
  const files = /^Max open files\s+(\d+)\s/m.exec(limits)?.[1];
  if (files === undefined) return maxConnections;
  return Math.max(fewest, Math.min(maxConnections, Number(files) - reservedFiles));
}

/** Most connections of one address, when a server holds at most `connections`. */
export function maxPerAddressOf(connections: number): number {
  return Math.max(fewest, Math.floor(connections / 4));
}

/**
 * Closes connections above `most` of one address (IPv6: of one /64) at once. Trusted addresses are not counted: they are
 * proxies, which all clients share.
 */
export function boundPerAddress(
  server: Server,
  { most, isTrusted }: { readonly most: number; readonly isTrusted: (address: string) => boolean },
): void {
  const open = new Map<string, number>();

  server.on('connection', (socket: Socket) => {
    const address = normaliseAddress(socket.remoteAddress ?? '') ?? unknownAddress;
    if (isTrusted(address)) return;
    const subject = limitSubjectOf(address);
    const count = open.get(subject) ?? 0;
    if (count >= most) {
      socket.destroy();
      return;
    }
    open.set(subject, count + 1);
    socket.once('close', () => {
      const left = (open.get(subject) ?? 1) - 1;
      if (left > 0) open.set(subject, left);
      else open.delete(subject);
    });
  });
}
