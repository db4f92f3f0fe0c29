/**
 * All price sources down for ten minutes and back, on a real stack: what the fleet calls meanwhile, what clients get, and how long it
 * takes until every coin that is read is fresh again. `OUTAGE_SECONDS=600` is the default.
 */
import { newUser, type ApiClient } from '../test/support/api-client.ts';
import type { Stack } from '../test/support/stack.ts';
import { runBench, type Bench, type Row } from './support/bench.ts';

const outageMs = 1_000 * Number(process.env['OUTAGE_SECONDS'] ?? '600');
/** Calls that each source allows a minute. */
const limit = 30;
const sources = 3;
const pauseSeconds = 30;
const freshSeconds = Number(process.env['FRESH_SECONDS'] ?? '60');
const coinsPerRead = 50;
const coins = Array.from({ length: 500 }, (_, index) => `sim-${String(index + 1).padStart(5, '0')}`);
const everyMs = 1_000;

await runBench('Ten minutes without any price source', async (tools) => {
  const stack = await tools.stack({
    apis: 1,
    workers: 2,
    market: { latencyMs: 50 },
    environment: {
      UPSTREAM_CALLS_PER_MINUTE: String(limit),
      COINMARKETCAP_CALLS_PER_MINUTE: String(limit),
      DEFILLAMA_CALLS_PER_MINUTE: String(limit),
      QUOTE_TTL: `${freshSeconds}s`,
      PROVIDER_FALLBACKS: 'coinmarketcap,defillama',
      BREAKER_MAX_OPEN: `${pauseSeconds}s`,
    },
  });
  return await measure(stack, tools);
});

async function measure(stack: Stack, tools: Bench): Promise<readonly Row[]> {
  const user = await newUser(stack.apis[0]?.url ?? '');
  const reader = readOnAndOn(user);
  tools.onEnd(() => reader.stop());
  await until(() => reader.fresh() === coins.length, 120_000);
  tools.say(`All ${coins.length} coins are fresh; the sources go down for ${outageMs / 1000} s`);
  stack.market.resetCalls();
  stack.market.inject('unavailable', { count: Infinity });
  const downAt = Date.now();
  await until(() => Date.now() - downAt >= outageMs, outageMs + 10_000);
  const during = perSecond(stack.market.calls().map(({ at }) => at - downAt));
  const held = reader.held();
  stack.market.clearFaults();
  stack.market.resetCalls();
  const backAt = Date.now();
  const watch = setInterval(
    () => tools.say(`${reader.fresh()} fresh, ${reader.held()} held, ${stack.market.callCount()} calls`),
    5_000,
  );
  tools.onEnd(() => clearInterval(watch));
  await until(() => reader.fresh() === coins.length, 300_000);
  const recoveryMs = Date.now() - backAt;
  const after = perSecond(stack.market.calls().map(({ at }) => at - backAt));
  tools.say(`Calls a second after the end: ${after.join(' ')}`);
  const worst = stack.market.worstSlidingMinute();
  return [
    {
      what: 'calls while down',
      result: `${sum(during)} in ${outageMs / 1000} s, ${Math.max(0, ...during)} in the worst second`,
    },
    {
      what: 'coins served while down',
      result: `${held} of ${coins.length}`,
      requested: 'all, as stale',
      kept: held === coins.length,
    },
    {
      what: 'until all are fresh again',
      result: `${(recoveryMs / 1000).toFixed(1)} s`,
      requested: `one interval (${freshSeconds} s)`,
    },
    { what: 'calls after the end', result: `${sum(after)}, ${Math.max(0, ...after)} in the worst second` },
    {
      what: 'worst sliding minute',
      result: String(worst),
      requested: `≤ ${sources * limit}`,
      kept: worst <= sources * limit,
    },
  ];
}

interface Reader {
  /** Coins that were fresh when they were last read. */
  fresh(): number;
  /** Coins with a value when they were last read. */
  held(): number;
  stop(): void;
}

function readOnAndOn(user: ApiClient): Reader {
  let states: readonly string[] = [];
  let stopped = false;
  const readPart = async (part: readonly string[]): Promise<readonly string[]> => {
    const { status, body } = await user.call('POST', '/crypto/bulk', {
      body: { coins: part },
      headers: { prefer: 'wait=10' },
    });
    if (status === 202) return [];
    if (status !== 200) throw new Error(`the API answered ${status}`);
    const { portfolio } = body?.data as { readonly portfolio: readonly { readonly state: string }[] };
    return portfolio.map(({ state }) => state);
  };
  const read = async (): Promise<void> => {
    while (!stopped) {
      const parts = Array.from({ length: coins.length / coinsPerRead }, (_, index) =>
        coins.slice(index * coinsPerRead, (index + 1) * coinsPerRead),
      );
      const found = (await Promise.all(parts.map(readPart))).flat();
      if (found.length === coins.length) states = found;
      await new Promise((resolve) => setTimeout(resolve, everyMs));
    }
  };
  read().catch((error: unknown) => process.stderr.write(`${String(error)}\n`));
  const count = (...wanted: readonly string[]): number =>
    states.filter((state) => wanted.includes(state)).length;
  return {
    fresh: () => count('fresh'),
    held: () => count('fresh', 'stale'),
    stop: () => void (stopped = true),
  };
}

async function until(isSo: () => boolean, withinMs: number): Promise<void> {
  const end = Date.now() + withinMs;
  while (!isSo()) {
    if (Date.now() > end) throw new Error('this takes too long');
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

function perSecond(offsets: readonly number[]): number[] {
  const seconds: number[] = [];
  for (const offset of offsets) {
    const second = Math.max(0, Math.floor(offset / 1_000));
    while (seconds.length <= second) seconds.push(0);
    seconds[second] = (seconds[second] ?? 0) + 1;
  }
  return seconds;
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
