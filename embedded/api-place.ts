/** Where the commands for a terminal find the API. */
import type { PricepoolClient } from '../client/pricepool-client.ts';
import { PricepoolError } from '../client/pricepool-error.ts';
import { sleep } from '../src/platform/concurrency/sleep.ts';

/** A wrong option; its message is for the user. */
export class OptionError extends Error {}

/** Something that ends a command with one sentence to the user. */
export class CommandError extends Error {}

const readyTimeoutMs = 15_000;
const readyPollMs = 250;

/**
 * Root of the API: as given, or PRICEPOOL_URL, or where `npm start` listens with the same HOST and PORT.
 * @throws {OptionError} that says which of them cannot be used.
 */
export function apiUrlOf(given: string | undefined, environment: NodeJS.ProcessEnv): string {
  const { PRICEPOOL_URL: kept = '', HOST: host = '', PORT: port = '' } = environment;
  if (given !== undefined) return checked('--url', given);
  if (kept !== '') return checked('PRICEPOOL_URL', kept);
  if (!/^\d{0,5}$/.test(port)) throw new OptionError(`PORT must be a number, not ${port}`);
  return checked('HOST', `http://${reachable(host)}:${port === '' || port === '0' ? 8080 : port}`);
}

/** Clients cannot call a wildcard address. */
function reachable(host: string): string {
  if (host === '' || host === '0.0.0.0') return '127.0.0.1';
  if (host === '::') return '[::1]';
  return host.includes(':') && !host.startsWith('[') ? `[${host}]` : host;
}

function checked(option: string, url: string): string {
  if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol))
    throw new OptionError(`${option} must be a URL that starts with http:// or https://, not ${url}`);
  return url.replace(/\/+$/, '');
}

/** Waits until the API can serve. @throws {CommandError} when there is none, or when that takes too long. */
export async function untilReady(
  client: PricepoolClient,
  {
    url,
    command,
    line,
  }: {
    readonly url: string;
    /** As the user would call it again: `npm run demo`. */
    readonly command: string;
    readonly line: (text: string) => void;
  },
): Promise<void> {
  const until = Date.now() + readyTimeoutMs;
  let reported = false;
  try {
    while (!(await client.isReady())) {
      if (Date.now() > until)
        throw new CommandError(`The API at ${url} is not ready; ${url}/health/ready says why.`);
      if (!reported) line(`Waiting until the API at ${url} is ready`);
      reported = true;
      await sleep(readyPollMs);
    }
  } catch (error) {
    if (!(error instanceof PricepoolError)) throw error;
    throw new CommandError(
      `There is no Pricepool API at ${url} (${error.message.replace(/^.* cannot be reached: /, '')}).\n` +
        'Start one in another terminal:  npm start\n' +
        `Or give its URL:                ${command} -- --url http://host:port`,
    );
  }
}
