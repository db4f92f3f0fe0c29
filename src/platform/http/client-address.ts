/**
 * Finds the address of a client. `X-Forwarded-For` is a claim: it is trusted only as far as trusted proxies have written it,
 * from its right end. What a client wrote itself is left of that and never used.
 */
import type { IncomingMessage } from 'node:http';
import proxyAddr from 'proxy-addr';
import { normaliseAddress, unknownAddress } from './network.ts';

/** Of the right end of the header so many characters and entries are read; no chain of proxies that one trusts is longer. */
const maxRead = 512;
const maxEntries = 16;
/** Some proxies write the port too. */
const withPort = /^(?:\[([\da-fA-F:.]+)\]|([\d.]+))(?::\d{1,5})?$/;

/**
 * Builds the function that checks whether an address is one of `trustedProxies` (addresses, networks, `loopback`).
 * @throws {TypeError} an entry is not an address or network (nor is a network of no bits, `0.0.0.0/0`).
 */
export function createTrust(trustedProxies: readonly string[]): (address: string) => boolean {
  const isTrusted = proxyAddr.compile([...trustedProxies]);
  return (address) => isTrusted(address, 0);
}

/**
 * Builds the function that returns the address of the client (see {@link normaliseAddress}): that of the connection, or, if
 * this is one of `trustedProxies` (addresses, networks, `loopback`), the one they forwarded for. If that is not an address, the
 * connection's own.
 * @throws {TypeError} an entry is not an address or network (nor is a network of no bits, `0.0.0.0/0`).
 */
export function createClientAddress({
  trustedProxies,
}: {
  readonly trustedProxies: readonly string[];
}): (request: IncomingMessage) => string {
  const isTrusted = trustedProxies.length === 0 ? undefined : createTrust(trustedProxies);

  return ({ headers, socket }) => {
    const own = normaliseAddress(socket.remoteAddress ?? '') ?? unknownAddress;
    const forwarded = headers['x-forwarded-for'];
    if (isTrusted === undefined || forwarded === undefined) return own;
    const claims = {
      headers: { 'x-forwarded-for': rightEndOf(String(forwarded)) },
      socket: { remoteAddress: own },
    };
    const claimed = proxyAddr(claims as unknown as IncomingMessage, isTrusted);
    const [, bracketed, dotted] = withPort.exec(claimed) ?? [];
    return normaliseAddress(bracketed ?? dotted ?? claimed) ?? own;
  };
}

function rightEndOf(header: string): string {
  const entries = header.slice(-maxRead).split(',');
  // The first entry may have been cut in two.
  if (header.length > maxRead && entries.length > 1) entries.shift();
  return entries.slice(-maxEntries).join(',');
}
