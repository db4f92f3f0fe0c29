/** Access to the price sources: which ones, in which order, each with its budget, limiter and breaker. */
import type { BudgetState, PriceSourceState } from '../../domain/budget-state.ts';
import { messageOf } from '../../domain/errors.ts';
import { withDeadline } from '../../platform/concurrency/deadline.ts';
import { priceSourceOf, type PriceSource } from '../../platform/config/price-source.ts';
import type { Platform } from '../../platform/platform.ts';
import { createAssetQueries } from '../assets/queries/assets.ts';
import type { QuoteService } from '../quotes/quote-service.ts';
import type { Budget } from './budget/budget.ts';
import { freshnessAffordable } from './budget/forecast.ts';
import { createRedisBudget, type BudgetCallLog } from './budget/redis-budget.ts';
import { createCircuitBreaker, readBreaker } from './circuit-breaker.ts';
import { createFailureNotes, readLastFailure } from './failures.ts';
import { createHttpGet, type OpenHttp } from './http-get.ts';
import { createProviderChain, limiterOf, type ChainMember, type ProviderChain } from './provider-chain.ts';
import type { PriceProvider } from './provider.ts';
import { createUpstreamCallLog } from './queries/upstream-calls.ts';
import { readRecordings, recordedHttp, recordingHttp } from './recorder.ts';
import { providers, type ProviderContext } from './registry.ts';
import type { RequestLimiter } from './request-limiter-contract.ts';
import { createRequestLimiter } from './request-limiter.ts';

type SourceName = PriceSource['provider'];

/** Longest time (ms) that a call may take beyond its timeout: connecting, a late timer, the margin of the budget. */
const callSlackMs = 5_000;
/** The budget's state is read from Redis at most this often (ms). */
const statusAgeMs = 500;
/** The assets being read are counted again after this time (ms). */
const countEveryMs = 5_000;
/** Jobs of the queue `refresh` that users wait for have this priority or a more urgent one. */
const userPriority = 2;
/** Ids that one upstream call renews. */
const idsPerCall = 250;

/** The price sources as processors see them. */
export interface UpstreamSources {
  /** All sources in their order. */
  readonly chain: ProviderChain;
  /** The source that is tried first. */
  readonly provider: PriceProvider;
  /** The limiter of the first source, behind its breaker: for what only it can answer. */
  readonly limiter: RequestLimiter;
}

export type UpstreamService = ReturnType<typeof createUpstreamService>;

/** Builds what every process needs to know of the price sources. Opens none of them, and does no I/O. */
export function createUpstreamService(
  platform: Platform,
  { quotes }: { readonly quotes: Pick<QuoteService, 'interest'> },
) {
  const { config, redis, keys, knex, queues } = platform;
  const callLog = createUpstreamCallLog(knex);
  const first = priceSourceOf({ ...config, PROVIDER: config.PROVIDER ?? 'simulated' }).provider;
  const names = [...new Set<SourceName>([first, ...config.PROVIDER_FALLBACKS])];
  const budgetOf = createBudgets(platform, callLog);
  const budget = budgetOf(first);
  const status = remembered(() => budget.status(), statusAgeMs);
  const callsToRenewAll = remembered(async () => {
    const sizes = await withDeadline(quotes.interest.sizes(), 500, 'counting what is read');
    return sizes.reduce((sum, size) => sum + Math.ceil(size / idsPerCall), 0);
  }, countEveryMs);
  const waiting = remembered(() => queues.urgent('refresh', userPriority), statusAgeMs);

  return {
    /** The budget of the configured price source. */
    budget,
    callLog,
    /** The budget's state without a forecast. */
    budgetStatus: status,
    /** The budget's state with a forecast, which is null while it is unknown what is being read. */
    budgetState: async (): Promise<BudgetState> => {
      const [known, calls] = await Promise.all([status(), callsToRenewAll().catch(() => 0)]);
      return { ...known, freshnessSeconds: freshnessAffordable(known, calls) };
    },
    /**
     * Calls until one that a user waits for has been made, others that wait included: one of a `batch` of quotes, or one `alone`,
     * of which every other is made at most while quotes are waited for. Rejects when Redis does not answer.
     */
    async callsAhead(kind: 'batch' | 'alone'): Promise<number> {
      const counts = await waiting();
      const all = [...counts.values()].reduce((sum, count) => sum + count, 0);
      const batches = counts.get('quotes.refresh') ?? 0;
      return Math.max(1, kind === 'batch' ? Math.min(all, 2 * batches) : all);
    },
    /** The price sources in the order in which they are asked. Rejects when Redis does not answer. */
    sources: (): Promise<readonly PriceSourceState[]> =>
      Promise.all(
        names.map(async (name) => {
          const [breaker, lastFailure] = await Promise.all([
            readBreaker(redis, keys.breaker(name)),
            readLastFailure(redis, keys.lastFailure(name)),
          ]);
          return { name, ...breaker, lastFailure };
        }),
      ),
    /** Calls of the whole fleet by outcome. Rejects when Redis does not answer. */
    calls: async (): Promise<Readonly<Record<string, number>>> => {
      return numbersOf(await redis.hgetall(keys.upstreamCalls));
    },
    /** Failed calls of the whole fleet by cause. Rejects when Redis does not answer. */
    failures: async (): Promise<Readonly<Record<string, number>>> =>
      numbersOf(await redis.hgetall(keys.upstreamFailures)),
    /** Whether the first source reports the limits of our key. */
    reportsLimits: providers[priceSourceOf(config).provider].reportsLimits?.(config) ?? false,
    /**
     * Opens the configured price sources, for workers that call them; repeated calls return the same ones, which are closed at
     * shutdown.
     * @throws {Error} for a source that cannot be used as configured.
     */
    openSources: once((): UpstreamSources => {
      const context = contextOf(platform);
      const [member, ...others] = names.map((name) => openMember(platform, name, { context, budgetOf }));
      if (member === undefined)
        throw new Error('No price source is configured: set PROVIDER, such as PROVIDER=coingecko');
      const chain = createProviderChain({
        members: [member, ...others],
        failoverMs: config.PROVIDER_FAILOVER_AFTER,
      });
      return { chain, provider: chain.first, limiter: limiterOf(member) };
    }),
  };
}

/** Budgets by source, created on first use. Sources with the same key share one. */
export function createBudgets(
  { config, redis, log, keys }: Pick<Platform, 'config' | 'redis' | 'log' | 'keys'>,
  callLog: BudgetCallLog,
): (name: SourceName) => Budget {
  const made = new Map<string, Budget>();
  return (name) => {
    const { key, limits } = providers[name].budget(config);
    const known = made.get(key);
    if (known !== undefined) return known;
    const budget = createRedisBudget({
      redis,
      callLog,
      log,
      prefix: keys.prefix,
      key,
      limit: limits.callsPerMinute,
      ...(limits.creditsPerMonth === undefined ? {} : { month: { credits: limits.creditsPerMonth } }),
      monthStartsOn: limits.monthStartsOn,
      assumed: { limit: !limits.set.callsPerMinute, month: !limits.set.creditsPerMonth },
      charged: config.UPSTREAM_CREDITS_CHARGED,
      callDeadlineMs: config.UPSTREAM_TIMEOUT + callSlackMs,
    });
    made.set(key, budget);
    return budget;
  };
}

function openMember(
  { config, log, clock, shutdown, redis, keys }: Platform,
  name: SourceName,
  {
    context,
    budgetOf,
  }: { readonly context: ProviderContext; readonly budgetOf: (name: SourceName) => Budget },
): ChainMember {
  const provider = providers[name].create(config, context);
  shutdown.add('clients', `provider ${name}`, () => provider.close());
  const budget = budgetOf(name);
  const notes = createFailureNotes({ redis, keys, clock, log, name });
  const source = providers[name];
  const { limits } = providers[name].budget(config);
  log.info(
    {
      provider: name,
      host: new URL(source.baseUrl(config)).host,
      plan: source.plan?.(config) ?? null,
      // Not named `key`, which the log redacts.
      masked: masked(source.apiKey?.(config)),
      callsPerMinute: limits.callsPerMinute,
      creditsPerMonth: limits.creditsPerMonth ?? null,
    },
    'price source configured',
  );
  let isFirst = true;
  const limiter = createRequestLimiter({
    budget,
    log,
    // Counted for the whole fleet, so that every API process can show it.
    onCall: ({ outcome, urgency, durationMs, error }) => {
      const failure = error === undefined ? undefined : notes.note(error);
      if (isFirst) {
        isFirst = false;
        if (failure === undefined)
          log.info({ provider: name, outcome }, 'first call to the price source succeeded');
        else log.warn({ provider: name, ...failure }, 'first call to the price source failed');
      }
      log.debug({ outcome, urgency, durationMs, budget: budget.key }, 'upstream call');
      redis.hincrby(keys.upstreamCalls, outcome, 1).catch((error: unknown) => {
        log.debug({ reason: messageOf(error) }, 'an upstream call was not counted');
      });
    },
  });
  shutdown.add('work', `upstream limiter of ${name}`, () => limiter.stop());
  const breaker = createCircuitBreaker({
    redis,
    log,
    name,
    key: keys.breaker(name),
    failures: config.BREAKER_FAILURE_THRESHOLD,
    longestMs: config.BREAKER_MAX_OPEN * 1000,
  });
  return { provider, limiter, breaker };
}

/** A key in a recognisable form: its first characters, and only if it is long enough to keep the rest secret. */
function masked(key: string | undefined): string | null {
  if (key === undefined) return null;
  return `${key.length < 16 ? '' : key.slice(0, 5)}…`;
}

function numbersOf(counts: Readonly<Record<string, string>>): Readonly<Record<string, number>> {
  return Object.fromEntries(Object.entries(counts).map(([name, count]) => [name, Number(count)]));
}

function contextOf(platform: Platform): ProviderContext {
  const { config, clock, knex, log } = platform;
  const assets = createAssetQueries(knex);
  return {
    timeoutMs: config.UPSTREAM_TIMEOUT,
    maxBodyBytes: config.UPSTREAM_MAX_BODY_BYTES,
    clock,
    openHttp: openHttpOf(platform),
    async identify(ids) {
      try {
        const rows = await assets.identities(ids);
        return new Map(rows.map(({ assetId, symbol, name }) => [assetId, { symbol, name }]));
      } catch (error) {
        // Then only assets that need no proof are accepted.
        log.warn(
          { reason: messageOf(error) },
          'symbols and names of coins could not be read from Postgres: prices whose coin cannot be verified are ignored',
        );
        return new Map();
      }
    },
  };
}

/** With recorded exchanges nothing goes to any network, whatever else is configured. */
function openHttpOf({ config, log }: Pick<Platform, 'config' | 'log'>): OpenHttp {
  const { PROVIDER, HTTP_REPLAY_DIR: recorded, HTTP_RECORD_DIR: dir } = config;
  if (PROVIDER === 'recorded' && recorded !== undefined) return recordedHttp(readRecordings(recorded));
  const proxies = { http: config.HTTP_PROXY, https: config.HTTPS_PROXY, except: config.NO_PROXY };
  const open: OpenHttp = (options) => createHttpGet({ ...options, proxies });
  if (dir === undefined) return open;
  const secrets = Object.values(providers).flatMap((provider) => provider.apiKey?.(config) ?? []);
  return recordingHttp(open, { dir, log, secrets });
}

/** Shares one result among all callers within `ageMs`. */
function remembered<T>(ask: () => Promise<T>, ageMs: number): () => Promise<T> {
  let requestedAt = -Infinity;
  let answer: Promise<T> | undefined;
  return async () => {
    const now = performance.now();
    if (answer === undefined || now - requestedAt > ageMs) {
      requestedAt = now;
      answer = ask();
      answer.catch(() => (answer = undefined));
    }
    return await answer;
  };
}

/** Creates a value on first use, and keeps it. */
function once<T>(make: () => T): () => T {
  let made: { readonly value: T } | undefined;
  return () => (made ??= { value: make() }).value;
}
