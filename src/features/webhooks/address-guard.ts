/**
 * Which addresses webhooks may be sent to: those of the public internet, and networks that the operator names. Users
 * choose the receivers, so everything that only this machine or its neighbours can reach must stay unreachable.
 */
import { BlockList, isIP, isIPv4 } from 'node:net';
import { normaliseAddress } from '../../platform/http/network.ts';

export type AddressGuard = ReturnType<typeof createAddressGuard>;

/**
 * IPv4 ranges that are not public (https://www.iana.org/assignments/iana-ipv4-special-registry), and one public address
 * that the host of a virtual machine answers.
 */
const refusedIPv4 = [
  '0.0.0.0/8',
  '10.0.0.0/8',
  '100.64.0.0/10',
  '127.0.0.0/8',
  '169.254.0.0/16',
  '172.16.0.0/12',
  '192.0.0.0/24',
  '192.0.2.0/24',
  '192.31.196.0/24',
  '192.52.193.0/24',
  '192.88.99.0/24',
  '192.168.0.0/16',
  '192.175.48.0/24',
  '198.18.0.0/15',
  '198.51.100.0/24',
  '203.0.113.0/24',
  '224.0.0.0/4',
  '240.0.0.0/4',
  '168.63.129.16/32',
];

/** All of IPv6 that is assigned to public machines; nothing outside is allowed, whatever it may be used for one day. */
const publicIPv6 = '2000::/3';
/** Within it: protocol assignments with Teredo, documentation, and 6to4, which hides an IPv4 address. */
const refusedIPv6 = ['2001::/23', '2001:db8::/32', '2002::/16', '3fff::/20', '2620:4f:8000::/48'];
/** IPv4 in the form of a translator (NAT64): its last 32 bits are checked. */
const translated = '64:ff9b::';

/**
 * Builds the guard.
 * @param networks addresses and networks (`10.0.0.0/8`, or `loopback`) that are allowed although they are not public.
 */
export function createAddressGuard(networks: readonly string[]) {
  const allowed = listOf(networks.flatMap((each) => (each === 'loopback' ? ['127.0.0.0/8', '::1'] : each)));
  const refused4 = listOf(refusedIPv4);
  const refused6 = listOf(refusedIPv6);
  const public6 = listOf([publicIPv6]);

  const allowsIPv4 = (address: string): boolean =>
    allowed.check(address, 'ipv4') || !refused4.check(address, 'ipv4');

  return {
    /** Whether an address (IPv4 in dots or IPv6, in any spelling) may be connected to. */
    allows(text: string): boolean {
      // IPv4 mapped into IPv6 is checked as IPv4.
      const address = normaliseAddress(text);
      if (address === undefined) return false;
      if (isIPv4(address)) return allowsIPv4(address);
      const embedded = translatedIPv4(address);
      if (embedded !== undefined) return allowsIPv4(embedded);
      if (allowed.check(address, 'ipv6')) return true;
      return public6.check(address, 'ipv6') && !refused6.check(address, 'ipv6');
    },
  };
}

function listOf(networks: readonly string[]): BlockList {
  const list = new BlockList();
  for (const network of networks) {
    const [address = '', bits] = network.split('/');
    const version = isIP(address);
    if (version === 0) continue;
    list.addSubnet(address, Number(bits ?? (version === 4 ? 32 : 128)), version === 4 ? 'ipv4' : 'ipv6');
  }
  return list;
}

/** The IPv4 address in a translated one; undefined for any other. */
function translatedIPv4(address: string): string | undefined {
  if (!address.startsWith(translated)) return undefined;
  const groups = address.slice(translated.length).split(':');
  // More groups than the last two: another network below 64:ff9b.
  if (groups.length > 2 || groups.includes('')) return groups.join('') === '' ? '0.0.0.0' : undefined;
  const [high, low] = groups.length === 2 ? groups : ['0', ...groups];
  const bytes = [high, low].flatMap((group) => {
    const number = Number.parseInt(group ?? '0', 16);
    return [number >> 8, number & 255];
  });
  return bytes.join('.');
}
