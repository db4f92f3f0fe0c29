/** The way to the price sources, wired: which ones, in which order, each with its budget, gate and breaker. */
import { createAssetQueries } from '../src/features/assets/queries/assets.ts';
import {
  createDeviationGuard,
  noGuard,
  type DeviationGuard,
} from '../src/features/quotes/deviation-guard.ts';
import type { Config } from '../src/platform/config/load-config.ts';
import { priceSourceOf, type PriceSource } from '../src/platform/config/price-source.ts';
import { messageOf } from '../src/domain/errors.ts';
import type { Logger } from '../src/platform/observability/logger.ts';
import type { Shutdown } from '../src/platform/observability/shutdown.ts';
import type { Pipeline } from '../src/pipeline.ts';
import type { Budget } from '../src/features/upstream/budget/budget.ts';
import { createCircuitBreaker } from '../src/features/upstream/circuit-breaker.ts';
import { createCoinGeckoProvider } from '../src/features/upstream/coingecko/coingecko-provider.ts';
import {
  createCoinMarketCapProvider,
  type IdentifyAssets,
} from '../src/features/upstream/coinmarketcap/coinmarketcap-provider.ts';
import { createDefiLlamaProvider } from '../src/features/upstream/defillama/defillama-provider.ts';
import { readExchanges, recordedHttp, recordingHttp } from '../src/features/upstream/recorder.ts';
import { createHttpGet, type OpenHttp } from '../src/features/upstream/http-get.ts';
import {
  createProviderChain,
  gateOf,
  type ChainMember,
  type ProviderChain,
} from '../src/features/upstream/provider-chain.ts';
import type { PriceProvider } from '../src/features/upstream/provider.ts';
import type { UpstreamGate } from '../src/features/upstream/request-limiter-contract.ts';
import { createUpstreamGate } from '../src/features/upstream/request-limiter.ts';

interface UpstreamParts {
  readonly config: Config;
  readonly log: Logger;
  readonly shutdown: Shutdown;
  readonly pipeline: Pipeline;
}

/** What the processors of the `refresh` queue get. */
export interface Upstream {
  readonly chain: ProviderChain;
  /** The source that is asked first. */
  readonly provider: PriceProvider;
  /** Its gate, with its breaker before it. */
  readonly gate: UpstreamGate;
  readonly guard: DeviationGuard;
}

type SourceName = PriceSource['provider'];

/**
 * Opens the configured price sources; they are closed at shutdown.
 * @throws {Error} for a source that cannot be used as configured.
 */
export function buildUpstream(parts: UpstreamParts): Upstream {
  const { config, pipeline, log } = parts;
  const { provider: primary } = priceSourceOf({ ...config, PROVIDER: config.PROVIDER ?? 'simulated' });
  const openHttp = openHttpOf(config, log);
  const build = (name: SourceName): ChainMember => buildMember(parts, name, openHttp);
  const fallbacks = config.PROVIDER_FALLBACKS.filter((name) => name !== primary);
  const first = build(primary);
  const chain = createProviderChain({
    members: [first, ...fallbacks.map(build)],
    failoverMs: config.PROVIDER_FAILOVER_MS,
  });
  const guard = config.DEVIATION_GUARD === 'on' ? createDeviationGuard({ ...pipeline, log }) : noGuard;
  return { chain, provider: chain.first, gate: gateOf(first), guard };
}

function buildMember(parts: UpstreamParts, name: SourceName, openHttp: OpenHttp): ChainMember {
  const { config, log, shutdown, pipeline } = parts;
  const provider = createProvider(parts, name, openHttp);
  shutdown.add('clients', `provider ${name}`, () => provider.close());
  const gate = createGate(parts, budgetOf(pipeline, name));
  shutdown.add('work', `upstream gate of ${name}`, () => gate.stop());
  const breaker = createCircuitBreaker({
    redis: pipeline.redis,
    log,
    name,
    key: pipeline.keys.breaker(name),
    failures: config.PROVIDER_FAILURES,
    longestMs: config.PROVIDER_PAUSE_SECONDS * 1000,
  });
  return { provider, gate, breaker };
}

/** The market of our own and recorded exchanges speak CoinGecko's API. */
function budgetOf({ budgets }: Pipeline, name: SourceName): Budget {
  return budgets.of(name === 'coinmarketcap' || name === 'defillama' ? name : 'coingecko');
}

/** Calls are counted for the whole fleet, so that every API process can show them. */
function createGate({ log, pipeline: { redis, keys } }: UpstreamParts, budget: Budget): UpstreamGate {
  return createUpstreamGate({
    budget,
    log,
    onCall: ({ outcome, urgency, durationMs }) => {
      log.debug({ outcome, urgency, durationMs, budget: budget.key }, 'upstream call');
      redis.hincrby(keys.upstreamCalls, outcome, 1).catch((error: unknown) => {
        log.debug({ reason: messageOf(error) }, 'an upstream call was not counted');
      });
    },
  });
}

/** With recorded exchanges nothing goes to any network, whatever is configured beside them. */
function openHttpOf(config: Config, log: Logger): OpenHttp {
  const { PROVIDER, RECORDED_DIR: recorded, PRICEPOOL_RECORD: dir } = config;
  if (PROVIDER === 'recorded' && recorded !== undefined) return recordedHttp(readExchanges(recorded));
  if (dir === undefined) return createHttpGet;
  const secrets = [config.COINGECKO_API_KEY, config.CMC_API_KEY].flatMap((key) => key ?? []);
  return recordingHttp(createHttpGet, { dir, log, secrets });
}

const rootOfPlan = {
  keyless: 'https://api.coingecko.com/api/v3',
  demo: 'https://api.coingecko.com/api/v3',
  pro: 'https://pro-api.coingecko.com/api/v3',
} as const;

function createProvider(parts: UpstreamParts, name: SourceName, openHttp: OpenHttp): PriceProvider {
  const { config, pipeline } = parts;
  const common = {
    timeoutMs: config.UPSTREAM_TIMEOUT_MS,
    maxBodyBytes: config.UPSTREAM_MAX_BODY_BYTES,
    clock: pipeline.clock,
    openHttp,
  };
  if (name === 'defillama') return createDefiLlamaProvider({ ...common, baseUrl: config.DEFILLAMA_BASE_URL });
  if (name === 'coinmarketcap') {
    return createCoinMarketCapProvider({
      ...common,
      baseUrl: config.CMC_BASE_URL,
      version: config.CMC_VERSION,
      apiKey: config.CMC_API_KEY,
      identify: identifyFrom(parts),
    });
  }
  const { COINGECKO_PLAN: plan, COINGECKO_BASE_URL: given, COINGECKO_API_KEY: apiKey } = config;
  if ((name === 'simulated' || name === 'replay') && given === undefined) {
    throw new Error(
      `PROVIDER=${name} needs the embedded market: run \`npm start\`, or set COINGECKO_BASE_URL to one`,
    );
  }
  return createCoinGeckoProvider({
    ...common,
    baseUrl: given ?? rootOfPlan[plan],
    plan,
    apiKey,
    source: name,
  });
}

/** Who an asset is, by the list of assets that is kept here. */
function identifyFrom({ pipeline, log }: UpstreamParts): IdentifyAssets {
  return async (ids) => {
    try {
      const rows = await createAssetQueries(pipeline.knex).identities(ids);
      return new Map(rows.map(({ assetId, symbol, name }) => [assetId, { symbol, name }]));
    } catch (error) {
      // Then only the assets are taken that need no proof.
      log.warn({ reason: messageOf(error) }, 'assets could not be identified');
      return new Map();
    }
  };
}
