/** Which URLs may receive webhooks, as far as their text shows it; names are resolved at each attempt. */
import { isIP } from 'node:net';
import { ValidationError } from '../../domain/errors.ts';
import type { AddressGuard } from './address-guard.ts';

/** Longest URL (characters). */
export const maxUrlLength = 2_048;
/** Lowest port that is accepted besides those of HTTP: lower ones belong to other protocols. */
const lowestPort = 1_024;

export type WebhookTargets = ReturnType<typeof createTargets>;

/**
 * Builds the rules of this deployment.
 * @param rules.isHttpAllowed whether `http://` is accepted too.
 */
export function createTargets({
  isHttpAllowed,
  guard,
}: {
  readonly isHttpAllowed: boolean;
  readonly guard: AddressGuard;
}) {
  /** What is wrong with a URL; undefined if it is valid. */
  const problemOf = (text: string): string | undefined => {
    // A URL with parts that a parser would drop silently is not what the client meant.
    if (text.length > maxUrlLength) return `must have at most ${maxUrlLength} characters`;
    if (/[\s\p{Cc}]/u.test(text) || !URL.canParse(text)) return 'must be an absolute URL';
    const url = new URL(text);
    if (url.protocol !== 'https:' && (url.protocol !== 'http:' || !isHttpAllowed))
      return isHttpAllowed ? 'must start with https:// or http://' : 'must start with https://';
    if (url.href.length > maxUrlLength) return `must have at most ${maxUrlLength} characters`;
    if (url.username !== '' || url.password !== '') return 'must not have a user or a password';
    if (text.includes('#')) return 'must not have a fragment';
    const { port } = url;
    if (port !== '' && port !== '80' && port !== '443' && Number(port) < lowestPort)
      return `must have port 80, 443, or one from ${lowestPort}`;
    return problemOfHost(hostOf(url), guard);
  };
  return {
    problemOf,
    /**
     * The URL as it is stored and sent to.
     * @param field name of the field that it came in, for the error.
     * @throws {ValidationError} it must not receive webhooks.
     */
    checked(text: string, field: string): string {
      const message = problemOf(text);
      if (message === undefined) return new URL(text).href;
      throw new ValidationError('The request is not valid', [{ field, message }]);
    },
  };
}

/** Host of a URL as it is looked up: without brackets, and without the dot that may end a name. */
export function hostOf(url: URL): string {
  const { hostname } = url;
  return hostname.startsWith('[') ? hostname.slice(1, -1) : hostname.replace(/\.$/, '');
}

/** Names of this machine, which no name server need know (RFC 6761). */
export function isLocalName(host: string): boolean {
  return host === 'localhost' || host.endsWith('.localhost');
}

/** Odd spellings of addresses (decimal, octal, hexadecimal) were made plain by the parser of URLs. */
function problemOfHost(host: string, guard: AddressGuard): string | undefined {
  if (isIP(host) === 0 && host.split('.').includes('')) return 'must have a host without empty parts';
  const addresses = isIP(host) > 0 ? [host] : isLocalName(host) ? ['127.0.0.1'] : [];
  return addresses.every((address) => guard.allows(address))
    ? undefined
    : 'must be a public address, or one that the operator allows';
}
