import { parseArgs } from 'node:util';
import { startMarket, type MarketOptions } from './market.ts';
import type { Latency } from './market-state.ts';

/**
 * The market as a process of its own: `npm run market -- --limit 30 --latency 150`. Prints one JSON line when it
 * listens (and sends it to a parent with a channel), ends on SIGTERM, SIGINT and when the parent ends.
 */

const usage = `options:
  --port N          0 (the default) takes a free one
  --seed N          of the simulated walk (default 1)
  --walk MS         milliseconds between changes of simulated prices (default 5000)
  --latency MS      milliseconds added to every answer; MIN-MAX for a range
  --limit N         calls admitted in any 60 seconds (default: no limit)
  --made-up N       number of made-up assets besides the real ones
  --key KEY         refuse calls without this key; --plan demo|pro sets its plan
  --replay DIR      replay the CoinGecko CSV exports of this folder
  --speed N         seconds of history a second (default 86400)
  --from DATE       first day of the replay (YYYY-MM-DD)
  --loop            start the replay again at its end`;

function parseOptions(args: string[]): MarketOptions {
  const { values } = parseArgs({
    args,
    options: {
      port: { type: 'string', default: '0' },
      seed: { type: 'string', default: '1' },
      walk: { type: 'string', default: '5000' },
      latency: { type: 'string', default: '0' },
      limit: { type: 'string' },
      'made-up': { type: 'string', default: '0' },
      key: { type: 'string' },
      plan: { type: 'string', default: 'demo' },
      replay: { type: 'string' },
      speed: { type: 'string', default: '86400' },
      from: { type: 'string' },
      loop: { type: 'boolean', default: false },
    },
  });
  const { replay, limit, key, from } = values;
  return {
    port: wholeNumber('port', values.port, { max: 65_535 }),
    seed: wholeNumber('seed', values.seed),
    walkIntervalMs: wholeNumber('walk', values.walk, { min: 1 }),
    latencyMs: parseLatency(values.latency),
    callsPerMinute: limit === undefined ? undefined : wholeNumber('limit', limit),
    madeUpAssets: wholeNumber('made-up', values['made-up'], { max: 100_000 }),
    ...(key === undefined ? {} : { apiKey: { key, plan: parsePlan(values.plan) } }),
    ...(replay === undefined
      ? {}
      : {
          replay: {
            dir: replay,
            speed: wholeNumber('speed', values.speed, { min: 1 }),
            from: from === undefined ? undefined : parseDate(from),
            loop: values.loop,
          },
        }),
  };
}

function wholeNumber(
  name: string,
  text: string,
  { min = 0, max = 2_147_483_647 }: { min?: number; max?: number } = {},
): number {
  const value = Number(text);
  if (!/^\d+$/.test(text) || value < min || value > max) {
    throw new Error(`--${name} must be a whole number from ${min} to ${max}, not ${text}`);
  }
  return value;
}

function parseLatency(text: string): Latency {
  const [min, max] = text.split('-').map((part) => wholeNumber('latency', part, { max: 600_000 }));
  if (min === undefined || max === undefined) return min ?? 0;
  if (max < min) throw new Error(`--latency must be MIN-MAX, not ${text}`);
  return { min, max };
}

function parsePlan(text: string): 'demo' | 'pro' {
  if (text !== 'demo' && text !== 'pro') throw new Error(`--plan must be demo or pro, not ${text}`);
  return text;
}

function parseDate(text: string): Date {
  const date = new Date(text);
  if (Number.isNaN(date.getTime())) throw new Error(`--from must be a date such as 2021-05-01, not ${text}`);
  return date;
}

async function run(): Promise<void> {
  const options = parseOptions(process.argv.slice(2));
  const market = await startMarket(options);
  const end = (): void => void market.close().then(() => process.exit(0));
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, end);
  process.once('disconnect', end);
  const ready = {
    event: 'listening',
    url: market.url,
    port: market.port,
    pid: process.pid,
    source: options.replay === undefined ? 'simulated' : 'replay',
  };
  process.stdout.write(`${JSON.stringify(ready)}\n`);
  process.send?.(ready);
}

run().catch((error: unknown) => {
  process.stderr.write(`market: ${error instanceof Error ? error.message : String(error)}\n${usage}\n`);
  process.exit(1);
});
