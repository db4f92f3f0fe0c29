/**
 * Looks the addresses of a receiver up. By name servers alone, without the threads that the system's own lookup would hold, so
 * that a slow name server stops nobody else. All addresses are returned, because each of them may be connected to.
 */
import { Resolver } from 'node:dns/promises';
import { isIP } from 'node:net';
import { withDeadline } from '../../platform/concurrency/deadline.ts';
import { isLocalName } from './target.ts';

/** All addresses of a host, which may be one itself. @throws {Error} it has none, or they could not be had in time. */
export type Resolve = (host: string) => Promise<readonly string[]>;

const triesMs = 1_500;
const tries = 2;
const deadlineMs = 3_000;

/** Resolves by the name servers of this machine. */
export const resolveHost: Resolve = async (host) => {
  if (isIP(host) > 0) return [host];
  if (isLocalName(host)) return ['127.0.0.1', '::1'];
  const resolver = new Resolver({ timeout: triesMs, tries });
  try {
    const asked = Promise.allSettled([resolver.resolve4(host), resolver.resolve6(host)]);
    const answers = await withDeadline(asked, deadlineMs, 'looking the host up');
    return answers.flatMap((answer) => (answer.status === 'fulfilled' ? answer.value : []));
  } finally {
    resolver.cancel();
  }
};
