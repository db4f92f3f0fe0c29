import { parseArgs } from 'node:util';

/** What the demo was asked for. */
export interface DemoOptions {
  /** Root of the API. */
  readonly url: string;
  readonly help: boolean;
}

export const demoUsage = `npm run demo [-- --url http://host:port]

  --url URL   where the API is; without it http://127.0.0.1:$PORT (8080)
  --help      this text`;

/** A wrong option; its message is for the user. */
export class DemoOptionError extends Error {}

/** @throws {DemoOptionError} that says which option is wrong. */
export function demoOptionsOf(args: string[], environment: NodeJS.ProcessEnv): DemoOptions {
  const { url, help } = parsed(args);
  if (url !== undefined) {
    const isUsable = URL.canParse(url) && /^https?:$/.test(new URL(url).protocol);
    if (!isUsable)
      throw new DemoOptionError(`--url must be a URL that begins with http:// or https://, not ${url}`);
    return { url: url.replace(/\/+$/, ''), help };
  }
  const port = environment['PORT'] ?? '';
  if (!/^\d{0,5}$/.test(port)) throw new DemoOptionError(`PORT must be a number, not ${port}`);
  return { url: `http://127.0.0.1:${port === '' || port === '0' ? 8080 : port}`, help };
}

function parsed(args: string[]): { readonly url: string | undefined; readonly help: boolean } {
  try {
    const { values } = parseArgs({
      args,
      options: { url: { type: 'string' }, help: { type: 'boolean', default: false } },
    });
    return { url: values.url, help: values.help };
  } catch (error) {
    throw new DemoOptionError((error as Error).message);
  }
}
