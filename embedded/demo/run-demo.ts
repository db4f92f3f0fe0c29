/** The main job as a user sees it: an account, a bulk job followed live, a portfolio, and their results. */
import { parseArgs } from 'node:util';
import { createPricepoolClient, type PricepoolClient } from '../../client/pricepool-client.ts';
import { PricepoolError } from '../../client/pricepool-error.ts';
import type { BulkResult, Job, PortfolioResult, QuoteRow } from '../../client/types.ts';
import { apiUrlOf, CommandError, OptionError, untilReady } from '../api-place.ts';
import {
  barText,
  createScreen,
  hasPrice,
  type Output,
  portfolioTable,
  quoteTable,
  type Screen,
} from '../terminal-output.ts';
import { becomeUser } from '../terminal-user.ts';
import { priceLine } from '../watch/board.ts';
import { messageOf } from '../../src/domain/errors.ts';

/** Longer than a job waits for quotes (JOB_DEADLINE, 300 s): the demo ends with an exhausted budget, too. */
const jobTimeoutMs = 330_000;
const liveCoins = ['bitcoin', 'ethereum', 'solana'];
/** Live prices are shown for this time (ms), or until there were some updates. */
const liveMs = 8_000;
const liveUpdates = 4;

/** Runs the demo. @returns the exit code: 0 when both jobs completed, 2 for a wrong option, 1 for everything else. */
export async function runDemo({
  args,
  environment,
  out,
  complain,
}: {
  readonly args: string[];
  readonly environment: NodeJS.ProcessEnv;
  readonly out: Output;
  readonly complain: (message: string) => void;
}): Promise<number> {
  try {
    const { url, help } = demoOptionsOf(args, environment);
    const screen = createScreen(out, environment);
    if (help) screen.line(demoUsage);
    else await show({ url, environment }, screen);
    return 0;
  } catch (error) {
    if (error instanceof OptionError) {
      complain(`${error.message}\n\n${demoUsage}`);
      return 2;
    }
    complain(explain(error));
    return 1;
  }
}

async function show(
  place: { readonly environment: NodeJS.ProcessEnv; readonly url: string },
  screen: Screen,
): Promise<void> {
  const { url } = place;
  const { paint, line } = screen;
  const client = createPricepoolClient({ baseUrl: url });
  await untilReady(client, { url, command: 'npm run demo', line });
  line(`${paint.bold('Pricepool')} at ${url}`);
  const { username, isNew } = await becomeUser(client, { ...place, command: 'demo' });
  line(`${isNew ? 'Registered and logged' : 'Logged'} in as ${paint.bold(username)}`);
  line();

  const bulk = await client.submitBulk({ coins: demoCoins, currency: 'usd' });
  line(`Bulk job ${bulk.id}: ${demoCoins.length} coins`);
  const { portfolio: quotes } = await follow(client, bulk, screen);
  line();
  for (const row of quoteTable(quotes, paint, Date.now())) line(row);
  line();

  const coinsHeld = new Set(demoHoldings.map(({ coin }) => coin)).size;
  const portfolio = await client.submitPortfolio({ holdings: demoHoldings, currency: 'usd' });
  line(`Portfolio job ${portfolio.id}: ${demoHoldings.length} holdings of ${coinsHeld} coins`);
  const valued = await follow(client, portfolio, screen);
  line();
  for (const row of portfolioTable(valued, paint)) line(row);
  await showLive(client, screen);
  const note = noteOn(quotes);
  if (note !== undefined) line(`\n${paint.yellow(note)}`);
}

/** Prices as they change, over SSE. With the default settings a watched quote is renewed every 15 s. */
async function showLive(client: PricepoolClient, { line, paint }: Screen): Promise<void> {
  line();
  line(`Live prices over SSE, for ${liveMs / 1000} s   ${paint.dim('more: npm run watch -- bitcoin')}`);
  const stop = new AbortController();
  const timer = setTimeout(() => stop.abort(), liveMs);
  const watch = { coins: liveCoins, currency: 'usd', maxUpdates: liveUpdates, signal: stop.signal };
  try {
    for await (const event of client.streamPrices(watch)) {
      if (event.type !== 'price') continue;
      for (const row of event.data) line(priceLine(row, 'usd', Date.now()));
    }
  } catch (error) {
    if (!stop.signal.aborted) throw error;
  } finally {
    clearTimeout(timer);
  }
}

/** Draws the bar from the job's events until it has ended, and fetches the result. */
async function follow<R extends BulkResult | PortfolioResult>(
  client: PricepoolClient,
  { id, progress: { total } }: Job<R>,
  screen: Screen,
): Promise<R> {
  let done = 0;
  const draw = (): void => screen.bar(`${barText(done, total)} ${screen.paint.dim('over SSE')}`);
  draw();
  for await (const event of client.jobEvents(id, { signal: AbortSignal.timeout(jobTimeoutMs) })) {
    if (event.type === 'job.progress') done = event.data.done;
    if (event.type === 'job.completed') done = total;
    draw();
  }
  screen.endBar();
  const job = await client.job<R>(id);
  if (job.result === undefined)
    throw new CommandError(`The job is ${job.state}: ${job.error?.message ?? 'it has no result'}`);
  screen.line(
    `Completed in ${job.result.fetch_time}: ${job.result.success_count} quotes, ${job.result.error_count} failed`,
  );
  return job.result;
}

/** What must be said of prices that are not the market's. */
function noteOn(rows: readonly QuoteRow[]): string | undefined {
  const quote = rows.find(hasPrice);
  if (quote?.source === 'simulated') return 'Prices are SIMULATED: a random walk, not the market.';
  if (quote?.source !== 'replay') return undefined;
  return `Prices are REPLAYED: real history as of ${quote.as_of?.slice(0, 10) ?? 'an unknown day'}.`;
}

function explain(error: unknown): string {
  if (error instanceof CommandError) return error.message;
  if (error instanceof PricepoolError) return `The API refused (${error.code}): ${error.message}`;
  if (error instanceof Error && error.name === 'TimeoutError')
    return `The job did not finish within ${jobTimeoutMs / 1000} s.`;
  return messageOf(error);
}

const demoUsage = `npm run demo [-- --url http://host:port]

  --url URL   where the API is; without it PRICEPOOL_URL, or http://$HOST:$PORT (127.0.0.1:8080)
  --help      this text`;

/** @throws {OptionError} that says which option is wrong. */
function demoOptionsOf(
  args: string[],
  environment: NodeJS.ProcessEnv,
): {
  /** Root of the API. */
  readonly url: string;
  readonly help: boolean;
} {
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

/** Fifty large coins, as CoinGecko names them. */
export const demoCoins: readonly string[] = [
  ...[
    'bitcoin',
    'ethereum',
    'tether',
    'ripple',
    'binancecoin',
    'solana',
    'usd-coin',
    'tron',
    'dogecoin',
    'cardano',
  ],
  ...[
    'hyperliquid',
    'chainlink',
    'bitcoin-cash',
    'stellar',
    'zcash',
    'leo-token',
    'litecoin',
    'monero',
    'sui',
    'dai',
  ],
  ...[
    'hedera-hashgraph',
    'avalanche-2',
    'shiba-inu',
    'the-open-network',
    'polkadot',
    'uniswap',
    'crypto-com-chain',
  ],
  ...[
    'mantle',
    'bittensor',
    'near',
    'internet-computer',
    'aave',
    'bitget-token',
    'okb',
    'ethereum-classic',
    'pepe',
  ],
  ...[
    'aptos',
    'ethena',
    'kaspa',
    'arbitrum',
    'cosmos',
    'algorand',
    'vechain',
    'filecoin',
    'render-token',
    'optimism',
  ],
  ...['injective-protocol', 'celestia', 'maker', 'the-graph'],
];

/** A small portfolio; the two rows of bitcoin are one position. */
const demoHoldings: readonly { readonly coin: string; readonly quantity: string }[] = [
  { coin: 'bitcoin', quantity: '0.1' },
  { coin: 'bitcoin', quantity: '0.025' },
  { coin: 'ethereum', quantity: '2.5' },
  { coin: 'solana', quantity: '40' },
  { coin: 'cardano', quantity: '1500' },
  { coin: 'shiba-inu', quantity: '12500000.123456789' },
];
