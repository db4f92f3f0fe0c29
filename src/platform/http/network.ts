/** Addresses of clients, with one spelling each, so that nobody counts twice by writing an address in another way. */
import { isIPv4, isIPv6 } from 'node:net';
import { LRUCache } from 'lru-cache';

/** Used for a client whose address is unknown because its connection is already gone. */
export const unknownAddress = '0.0.0.0';

const mapped = '::ffff:';
/** Longest text of an IPv6 address; a zone may follow. */
const longest = 45;

/** Spellings of an IPv6 address cost microseconds to read, and a client sends many requests. */
const seen = new LRUCache<string, { readonly normal: string; readonly subject: string }>({ max: 5_000 });

/**
 * An IP address in canonical spelling: IPv4 in dots, also when it comes mapped into IPv6 (`::ffff:192.0.2.1`), IPv6 in lower
 * case, compressed and without a zone. Undefined for anything that is not an address.
 */
export function normaliseAddress(text: string): string | undefined {
  if (!text.includes(':')) return isIPv4(text) ? text : undefined;
  if (text.startsWith(mapped) && isIPv4(text.slice(mapped.length))) return text.slice(mapped.length);
  return readIPv6(text)?.normal;
}

/**
 * The address that limits count by: an IPv4 address itself, and the /64 of an IPv6 address, because one holder has all of its
 * /64. Anything that is not an address counts as one unknown client.
 */
export function limitSubjectOf(address: string): string {
  if (isIPv4(address)) return address;
  return readIPv6(address)?.subject ?? unknownAddress;
}

function readIPv6(text: string): { readonly normal: string; readonly subject: string } | undefined {
  const address = text.split('%', 1)[0] ?? '';
  const known = seen.get(address);
  if (known !== undefined) return known;
  if (address.length > longest || !isIPv6(address)) return undefined;
  const groups = groupsOf(address);
  const [high = 0, low = 0] = groups.slice(6);
  let normal = new URL(`http://[${address}]`).hostname.slice(1, -1);
  let subject = `${groups
    .slice(0, 4)
    .map((group) => group.toString(16))
    .join(':')}::/64`;
  if (groups[5] === 0xffff && groups.slice(0, 5).every((group) => group === 0)) {
    normal = [high >> 8, high & 255, low >> 8, low & 255].join('.');
    subject = normal;
  }
  seen.set(address, { normal, subject });
  return { normal, subject };
}

/** The eight numbers of an IPv6 address. */
function groupsOf(address: string): number[] {
  const [before = '', after = ''] = address.split('::');
  const head = partOf(before);
  const tail = partOf(after);
  return [...head, ...Array.from({ length: 8 - head.length - tail.length }, () => 0), ...tail];
}

function partOf(text: string): number[] {
  if (text === '') return [];
  return text.split(':').flatMap((group) => {
    if (!group.includes('.')) return Number.parseInt(group, 16);
    const [a = 0, b = 0, c = 0, d = 0] = group.split('.').map(Number);
    return [a * 256 + b, c * 256 + d];
  });
}
