import { parseArgs } from 'node:util';
import { apiUrlOf, OptionError } from '../api-place.ts';

/** What is to be watched. */
export interface WatchOptions {
  readonly coins: readonly string[];
  readonly currency: string;
  /** Least seconds between two updates. */
  readonly interval: number;
  /** Root of the API. */
  readonly url: string;
  /** Empty: a user is made, and kept in the data folder. */
  readonly apiKey: string;
  readonly help: boolean;
}

export const watchUsage = `npm run watch -- COIN... [--currency eur] [--interval 2] [--url http://host:port]

  COIN            asset ids as CoinGecko names them: bitcoin ethereum
  --currency CUR  instead of usd
  --interval SEC  least seconds between two updates; 1 when absent
  --url URL       where the API is; without it PRICEPOOL_URL, or http://$HOST:$PORT (127.0.0.1:8080)
  --help          this text

With PRICEPOOL_API_KEY it watches with that key (scope prices:read), else as a user of its own.`;

/** @throws {OptionError} that says what is wrong. */
export function watchOptionsOf(args: string[], environment: NodeJS.ProcessEnv): WatchOptions {
  const { values, positionals } = parsed(args);
  const coins = [...new Set(positionals.flatMap((text) => text.split(',')))].filter((coin) => coin !== '');
  if (coins.length === 0 && !values.help) throw new OptionError('Which coins?');
  const interval = Number(values.interval);
  if (!Number.isInteger(interval) || interval < 1)
    throw new OptionError(`--interval must be a whole number of seconds, not ${values.interval}`);
  return {
    coins,
    currency: values.currency,
    interval,
    url: apiUrlOf(values.url, environment),
    apiKey: environment['PRICEPOOL_API_KEY'] ?? '',
    help: values.help,
  };
}

function parsed(args: string[]) {
  try {
    return parseArgs({
      args,
      allowPositionals: true,
      options: {
        currency: { type: 'string', default: 'usd' },
        interval: { type: 'string', default: '1' },
        url: { type: 'string' },
        help: { type: 'boolean', default: false },
      },
    });
  } catch (error) {
    throw new OptionError((error as Error).message);
  }
}
