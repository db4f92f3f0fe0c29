/** Live prices until the user has seen enough, also over restarts of the API. */
import { parseArgs } from 'node:util';
import { createPricepoolClient, type PricepoolClient } from '../../client/pricepool-client.ts';
import { PricepoolError } from '../../client/pricepool-error.ts';
import type { PriceEvent } from '../../client/types.ts';
import { apiUrlOf, CommandError, OptionError, untilReady } from '../api-place.ts';
import { createScreen, type Output } from '../terminal-output.ts';
import { becomeUser } from '../terminal-user.ts';
import { createBoard, type Board } from './board.ts';
import { messageOf } from '../../src/domain/errors.ts';

/** Somebody sits before the screen: no long pauses. */
const maxPauseMs = 3_000;
/** Logins in a row without seeing a price, after which it is no use. */
const maxEntries = 3;

/** Runs the watch. @returns the exit code: 0 when the user ended it, 2 for a wrong option, 1 for everything else. */
export async function runWatch({
  args,
  environment,
  out,
  complain,
  signal,
}: {
  readonly args: string[];
  readonly environment: NodeJS.ProcessEnv;
  readonly out: Output;
  readonly complain: (message: string) => void;
  /** Ends the watch, as Ctrl-C does. */
  readonly signal: AbortSignal;
}): Promise<number> {
  try {
    const options = watchOptionsOf(args, environment);
    const screen = createScreen(out, environment);
    if (options.help) {
      screen.line(watchUsage);
      return 0;
    }
    const { url, apiKey, coins, currency } = options;
    const client = createPricepoolClient({ baseUrl: url, ...(apiKey === '' ? {} : { apiKey }) });
    await untilReady(client, { url, command: 'npm run watch', line: screen.line });
    const enter = (): Promise<unknown> => becomeUser(client, { command: 'watch', url, environment });
    if (apiKey === '') await enter();
    const board = createBoard({ out, paint: screen.paint, coins, currency });
    try {
      await show(client, options, { board, signal, enter });
    } finally {
      board.close();
    }
    return 0;
  } catch (error) {
    if (signal.aborted) return 0;
    const isOption = error instanceof OptionError;
    complain(isOption ? `${error.message}\n\n${watchUsage}` : explain(error));
    return isOption ? 2 : 1;
  }
}

interface View {
  readonly board: Board;
  readonly signal: AbortSignal;
  /** Logs in, as another user when need be. */
  readonly enter: () => Promise<unknown>;
}

async function show(client: PricepoolClient, options: WatchOptions, view: View): Promise<void> {
  const { board } = view;
  let entries = 0;
  const follow = async (): Promise<void> => {
    for await (const event of eventsOf(client, options, view)) {
      if (event.type === 'price') entries = 0;
      tell(board, event);
    }
  };
  for (;;) {
    try {
      await follow();
      return;
    } catch (error) {
      const isLost = error instanceof PricepoolError && error.status === 401 && options.apiKey === '';
      if (!isLost || entries >= maxEntries) throw error;
      // The API was restarted with another database, which does not have our account.
      entries += 1;
      await view.enter();
    }
  }
}

function eventsOf(
  client: PricepoolClient,
  { coins, currency, interval }: WatchOptions,
  { board, signal }: View,
): AsyncGenerator<PriceEvent, void> {
  return client.streamPrices({
    coins,
    currency,
    interval,
    signal,
    maxPauseMs,
    onInterruption: ({ reason }) => board.say(`not connected, trying again: ${reason}`),
  });
}

function tell(board: Board, event: PriceEvent): void {
  if (event.type === 'hello') board.say('');
  else if (event.type === 'price') board.take(event.data);
  else if (event.type === 'limit')
    board.say(`too many streams are open (limit per ${event.data.limit}); trying again`);
  else if (event.type === 'end' && !event.data.reconnect)
    throw new CommandError(`The API ended the stream: ${event.data.reason}`);
}

function explain(error: unknown): string {
  if (error instanceof CommandError) return error.message;
  if (!(error instanceof PricepoolError)) return messageOf(error);
  const hint =
    error.code === 'registration_closed'
      ? '\nSet PRICEPOOL_API_KEY to a key with the scope prices:read.'
      : '';
  return `The API refused (${error.code}): ${error.message}${hint}`;
}

/** What is to be watched. */
interface WatchOptions {
  readonly coins: readonly string[];
  readonly currency: string;
  /** Least seconds between two updates. */
  readonly interval: number;
  /** Root of the API. */
  readonly url: string;
  /** Empty: a user is created and kept in the data folder. */
  readonly apiKey: string;
  readonly help: boolean;
}

const watchUsage = `npm run watch -- COIN... [--currency eur] [--interval 2] [--url http://host:port]

  COIN            asset ids as CoinGecko names them: bitcoin ethereum
  --currency CUR  quote currency; default usd
  --interval SEC  minimum seconds between two updates; default 1
  --url URL       where the API is; without it PRICEPOOL_URL, or http://$HOST:$PORT (127.0.0.1:8080)
  --help          this text

With PRICEPOOL_API_KEY it uses that key (scope prices:read), otherwise a user of its own.`;

/** @throws {OptionError} that says what is wrong. */
function watchOptionsOf(args: string[], environment: NodeJS.ProcessEnv): WatchOptions {
  const { values, positionals } = parsed(args);
  const coins = [...new Set(positionals.flatMap((text) => text.split(',')))].filter((coin) => coin !== '');
  if (coins.length === 0 && !values.help)
    throw new OptionError('Name at least one coin, such as: npm run watch -- bitcoin ethereum');
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
