/** The main job as a user sees it: an account, a bulk job followed live, a portfolio, and what came of them. */
import { randomBytes } from 'node:crypto';
import { createPricepoolClient, type PricepoolClient } from '../../client/pricepool-client.ts';
import { PricepoolError } from '../../client/pricepool-error.ts';
import type { BulkResult, Job, PortfolioResult, Quote, QuoteRow } from '../../client/types.ts';
import { messageOf } from '../../src/lib/errors.ts';
import { sleep } from '../../src/lib/sleep.ts';
import { demoCoins, demoHoldings } from './coins.ts';
import { barText } from './format.ts';
import { DemoOptionError, demoOptionsOf, demoUsage } from './options.ts';
import { createScreen, type Output, type Screen } from './screen.ts';
import { portfolioTable, quoteTable } from './tables.ts';

interface DemoRun {
  readonly args: string[];
  readonly environment: NodeJS.ProcessEnv;
  readonly out: Output;
  readonly complain: (message: string) => void;
}

/** Longer than a job waits for quotes (JOB_DEADLINE_SECONDS, 300 s): also with an exhausted budget there is an end. */
const jobTimeoutMs = 330_000;
const readyTimeoutMs = 15_000;
const readyPollMs = 250;

/** Something that ends the demo with one sentence to the user. */
class DemoError extends Error {}

/** Runs the demo. @returns the exit code: 0 when both jobs completed, 2 for a wrong option, 1 for everything else. */
export async function runDemo({ args, environment, out, complain }: DemoRun): Promise<number> {
  try {
    const { url, help } = demoOptionsOf(args, environment);
    const screen = createScreen(out, environment);
    if (help) screen.line(demoUsage);
    else await show(createPricepoolClient({ baseUrl: url }), url, screen);
    return 0;
  } catch (error) {
    if (error instanceof DemoOptionError) {
      complain(`${error.message}\n\n${demoUsage}`);
      return 2;
    }
    complain(explain(error));
    return 1;
  }
}

async function show(client: PricepoolClient, url: string, screen: Screen): Promise<void> {
  const { paint, line } = screen;
  await untilReady(client, url, screen);
  line(`${paint.bold('Pricepool')} at ${url}`);
  line(`Registered and logged in as ${paint.bold(await newAccount(client))}`);
  line();

  const bulk = await client.submitBulk({ coins: demoCoins, currency: 'usd' });
  line(`Bulk job ${bulk.id}: ${demoCoins.length} coins`);
  const { portfolio: quotes } = await follow(client, bulk, screen);
  line();
  for (const row of quoteTable(quotes, { paint, now: Date.now() })) line(row);
  line();

  const coinsHeld = new Set(demoHoldings.map(({ coin }) => coin)).size;
  const portfolio = await client.submitPortfolio({ holdings: demoHoldings, currency: 'usd' });
  line(`Portfolio job ${portfolio.id}: ${demoHoldings.length} holdings of ${coinsHeld} coins`);
  const valued = await follow(client, portfolio, screen);
  line();
  for (const row of portfolioTable(valued, { paint })) line(row);
  const note = noteOn(quotes);
  if (note !== undefined) line(`\n${paint.yellow(note)}`);
}

async function untilReady(client: PricepoolClient, url: string, { line }: Screen): Promise<void> {
  const until = Date.now() + readyTimeoutMs;
  let told = false;
  try {
    while (!(await client.isReady())) {
      if (Date.now() > until)
        throw new DemoError(`The API at ${url} is not ready; ${url}/health/ready says why.`);
      if (!told) line(`Waiting until the API at ${url} is ready`);
      told = true;
      await sleep(readyPollMs);
    }
  } catch (error) {
    if (!(error instanceof PricepoolError)) throw error;
    throw new DemoError(
      `There is no Pricepool API at ${url} (${error.message.replace(/^.* cannot be reached: /, '')}).\n` +
        'Start one in another terminal:  npm start\n' +
        'Or say where it is:             npm run demo -- --url http://host:port',
    );
  }
}

/** @returns the name of a new user, as whom the client is logged in. */
async function newAccount(client: PricepoolClient): Promise<string> {
  const username = `demo-${randomBytes(4).toString('hex')}`;
  const email = `${username}@example.com`;
  const password = `${randomBytes(12).toString('base64url')}-a1`;
  await client.register({ username, email, password });
  await client.login({ email, password });
  return username;
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
    throw new DemoError(`The job is ${job.state}: ${job.error?.message ?? 'it has no result'}`);
  screen.line(
    `Completed in ${job.result.fetch_time}: ${job.result.success_count} quotes, ${job.result.error_count} without`,
  );
  return job.result;
}

/** What must be said of prices that are not the market's. */
function noteOn(rows: readonly QuoteRow[]): string | undefined {
  const quote = rows.find((row): row is Quote => 'price' in row);
  if (quote?.source === 'simulated') return 'Prices are SIMULATED: a random walk, not the market.';
  if (quote?.source !== 'replay') return undefined;
  return `Prices are REPLAYED: real history as of ${quote.as_of?.slice(0, 10) ?? 'an unknown day'}.`;
}

function explain(error: unknown): string {
  if (error instanceof DemoError) return error.message;
  if (error instanceof PricepoolError) return `The API refused (${error.code}): ${error.message}`;
  if (error instanceof Error && error.name === 'TimeoutError')
    return `The job did not end within ${jobTimeoutMs / 1000} s.`;
  return messageOf(error);
}
