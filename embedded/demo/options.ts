import { parseArgs } from 'node:util';
import { apiUrlOf, OptionError } from '../api-place.ts';

/** What the demo was asked for. */
export interface DemoOptions {
  /** Root of the API. */
  readonly url: string;
  readonly help: boolean;
}

export const demoUsage = `npm run demo [-- --url http://host:port]

  --url URL   where the API is; without it PRICEPOOL_URL, or http://$HOST:$PORT (127.0.0.1:8080)
  --help      this text`;

/** @throws {OptionError} that says which option is wrong. */
export function demoOptionsOf(args: string[], environment: NodeJS.ProcessEnv): DemoOptions {
  const { url, help } = parsed(args);
  return { url: apiUrlOf(url, environment), help };
}

function parsed(args: string[]): { readonly url: string | undefined; readonly help: boolean } {
  try {
    const { values } = parseArgs({
      args,
      options: { url: { type: 'string' }, help: { type: 'boolean', default: false } },
    });
    return { url: values.url, help: values.help };
  } catch (error) {
    throw new OptionError((error as Error).message);
  }
}
