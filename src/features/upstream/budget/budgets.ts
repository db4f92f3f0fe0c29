import { createHash } from 'node:crypto';
import type { Config } from '../../../platform/config/load-config.ts';
import {
  coinMarketCapLimits,
  defiLlamaLimits,
  primaryLimits,
  type UpstreamLimits,
} from '../../../platform/config/upstream-limits.ts';
import { withDeadline } from '../../../platform/concurrency/deadline.ts';
import type { Logger } from '../../../platform/observability/logger.ts';
import type { RedisKeys } from '../../../platform/redis/keys.ts';
import type { Budget, BudgetStatus } from './budget.ts';
import { freshnessAffordable } from './forecast.ts';
import type { UpstreamLedger } from './call-log.ts';
import { createRedisBudget } from './redis-budget.ts';
import type { Redis } from 'ioredis';

/** Providers with a budget of their own. */
export type BudgetedProvider = 'coingecko' | 'coinmarketcap' | 'defillama';

/** One budget for each provider and key. */
export interface Budgets {
  /** That of the configured price source. */
  readonly primary: Budget;
  /** That of a provider; `coingecko` stands for whatever speaks its API: the simulated market, a replay, recorded exchanges. */
  of(provider: BudgetedProvider): Budget;
}

interface BudgetsDeps {
  readonly config: Config;
  readonly redis: Redis;
  readonly ledger: UpstreamLedger;
  readonly log: Logger;
  /** First part of all keys in Redis. */
  readonly prefix: string;
}

/** Longest time (ms) that a call may take beyond its timeout: connecting, a late timer, the margin of the budget. */
const callSlackMs = 5_000;

/** Builds the budgets; those that nobody asks for cost nothing. */
export function buildBudgets({ config, redis, ledger, log, prefix }: BudgetsDeps): Budgets {
  const build = (key: string, limits: UpstreamLimits): Budget =>
    createRedisBudget({
      redis,
      ledger,
      log,
      prefix,
      key,
      limit: limits.callsPerMinute,
      ...(limits.creditsPerMonth === undefined ? {} : { month: { credits: limits.creditsPerMonth } }),
      monthStartsOn: limits.monthStartsOn,
      assumed: { limit: !limits.set.callsPerMinute, month: !limits.set.creditsPerMonth },
      charged: config.UPSTREAM_CREDITS_CHARGED,
      callDeadlineMs: config.UPSTREAM_TIMEOUT_MS + callSlackMs,
    });
  const built = new Map<BudgetedProvider, Budget>();
  const of = (provider: BudgetedProvider): Budget => {
    const budget = built.get(provider) ?? build(...termsOf(config, provider));
    built.set(provider, budget);
    return budget;
  };
  const { PROVIDER } = config;
  return {
    primary: of(PROVIDER === 'coinmarketcap' || PROVIDER === 'defillama' ? PROVIDER : 'coingecko'),
    of,
  };
}

/** Name and limits: one budget per provider and key, because another key is another allowance. */
function termsOf(config: Config, provider: BudgetedProvider): [key: string, limits: UpstreamLimits] {
  if (provider === 'defillama') return ['defillama', defiLlamaLimits(config)];
  if (provider === 'coinmarketcap')
    return [`coinmarketcap-${fingerprintOf(config.CMC_API_KEY)}`, coinMarketCapLimits(config)];
  const { PROVIDER = 'simulated', COINGECKO_PLAN, COINGECKO_API_KEY } = config;
  const source = PROVIDER === 'coinmarketcap' || PROVIDER === 'defillama' ? 'coingecko' : PROVIDER;
  // Without PROVIDER, a key or a URL says that CoinGecko is meant.
  const limits = primaryLimits(config.PROVIDER === undefined ? config : { ...config, PROVIDER: source });
  return [`${source}-${COINGECKO_PLAN}-${fingerprintOf(COINGECKO_API_KEY)}`, limits];
}

/** The key itself must not be readable from the name. */
function fingerprintOf(key: string | undefined): string {
  return createHash('sha256')
    .update(key ?? 'keyless')
    .digest('hex')
    .slice(0, 8);
}

/** Ids that one upstream call renews. */
const idsPerCall = 250;
/** What is read is counted again after so long (ms). */
const countEveryMs = 5_000;

/** The budget's state, and the freshness that it can pay for what is read now. */
export type BudgetOutlook = BudgetStatus & { readonly freshnessSeconds: number | null };

interface OutlookDeps {
  readonly status: () => Promise<BudgetStatus>;
  readonly redis: Redis;
  readonly keys: Pick<RedisKeys, 'interest'>;
}

/** Builds how to read the state with its forecast. Without an answer about what is read, the forecast is null. */
export function createBudgetOutlook({ status, redis, keys }: OutlookDeps): () => Promise<BudgetOutlook> {
  let counted = { at: -Infinity, calls: Promise.resolve(0) };
  const countCalls = async (): Promise<number> => {
    const currencies = await redis.zrange(keys.interest.currencies, '0', '99');
    const sizes = await Promise.all(currencies.map((currency) => redis.zcard(keys.interest.heat(currency))));
    return sizes.reduce((sum, size) => sum + Math.ceil(size / idsPerCall), 0);
  };
  return async () => {
    const now = performance.now();
    if (now - counted.at > countEveryMs) {
      const calls = withDeadline(countCalls(), 500, 'counting what is read').catch(() => 0);
      counted = { at: now, calls };
    }
    const [state, callsPerTurn] = await Promise.all([status(), counted.calls]);
    return { ...state, freshnessSeconds: freshnessAffordable(state, callsPerTurn) };
  };
}
