/**
 * How many connections a server holds. Each costs some 10 KB and a file descriptor, and a process without descriptors reaches
 * neither Postgres nor its own disk; so the bound lies below the limit of the process. Of what there is, one address gets a
 * quarter, or a single machine that connects and says nothing would shut everybody else out.
 */
import { readFileSync } from 'node:fs';
import type { Server, Socket } from 'node:net';
import { limitSubjectOf, normaliseAddress, unknownAddress } from './network.ts';

/** Connections, however many files may be open. */
const mostConnections = 20_000;
/** Files that are left for Postgres, Redis, the log and the program itself. */
const reservedFiles = 256;
/** However low the limit, so many connections are tried: of a whole server, and of one address. */
const fewest = 64;

/**
 * Connections that this process may hold at the same time, by its limit of open files; where that cannot be read (it can on
 * Linux), 20,000.
 */
export function mostConnectionsHere(): number {
  try {
    return mostConnectionsBy(readFileSync('/proc/self/limits', 'utf8'));
  } catch {
    return mostConnections;
  }
}

/** As {@link mostConnectionsHere}, by the text of `/proc/<process>/limits`. */
export function mostConnectionsBy(limits: string): number {
  const files = /^Max open files\s+(\d+)\s/m.exec(limits)?.[1];
  if (files === undefined) return mostConnections;
  return Math.max(fewest, Math.min(mostConnections, Number(files) - reservedFiles));
}

/** Connections of one address, when a server holds `connections` at most. */
export function mostPerAddressOf(connections: number): number {
  return Math.max(fewest, Math.floor(connections / 4));
}

/**
 * Closes connections at once that are above `most` of one address (of IPv6: of one /64). Addresses that are trusted are not
 * counted: those of proxies, behind which everybody is.
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
