import { createServer, type Server } from 'node:http';
import {
  createCallLog,
  createFaultList,
  type CallRecord,
  type Fault,
  type FaultOptions,
  type Latency,
  type RequestDeps,
  type RequiredKey,
} from './market-state.ts';
import { createReplaySource, type ReplayOptions } from './replay-source.ts';
import { createRequestListener } from './request-listener.ts';
import { createSimulatedSource } from './simulated-source.ts';
import type { Clock } from '../../src/platform/concurrency/clock.ts';

/** Options of a market. */
export interface MarketOptions {
  /** 0 (the default) takes a free port below 32768. */
  readonly port?: number;
  /** Same seed and same clock, same prices. Default 1. */
  readonly seed?: number;
  /** Added to every answer. Default 0. */
  readonly latencyMs?: Latency;
  /** Calls admitted in any sliding 60 s; undefined for no limit. */
  readonly callsPerMinute?: number | undefined;
  /** Number of assets `sim-00001`... in addition to the real ones. Default 0. */
  readonly madeUpAssets?: number;
  /** Refuses calls without this key. */
  readonly apiKey?: RequiredKey;
  /** Time of prices and of the rate limit. Default: a monotonic one that starts at the machine's time. */
  readonly clock?: Clock;
  /** Serves this history instead of the simulated walk. */
  readonly replay?: ReplayOptions;
  /** Days back for which history may be asked; null for no limit. Default 365, as on a Demo plan; none with a Pro key. */
  readonly historyDays?: number | null;
  /** Credits of a month that `/key` tells of. Default 10,000. */
  readonly monthlyCredits?: number;
  /** Simulated prices change once in so many milliseconds. Default 5,000. */
  readonly walkIntervalMs?: number;
}

/** A running market. */
export interface Market {
  /** Base URL for a CoinGecko client: `http://127.0.0.1:<port>/api/v3`. */
  readonly url: string;
  /** Base URL for a CoinMarketCap client; the same prices, faults, limit and log. */
  readonly coinMarketCapUrl: string;
  /** Base URL for a DefiLlama client. */
  readonly defiLlamaUrl: string;
  readonly port: number;
  /** Stops listening and cuts every connection, hanging calls included. */
  close(): Promise<void>;
  /** The newest calls (up to 20,000), oldest first. */
  calls(): readonly CallRecord[];
  /** Calls since the last reset. */
  callCount(): number;
  /** Calls that the rate limit refused since the last reset. */
  rejected(): number;
  /** Most calls received, refused ones included, in any 60 s since the last reset. */
  worstSlidingMinute(): number;
  /** Forgets calls and counts. The window of the rate limit is kept. */
  resetCalls(): void;
  /** Applies a fault to the next `count` (default 1) calls, of all paths or one. */
  inject(fault: Fault, options?: FaultOptions): void;
  clearFaults(): void;
  setLatency(latencyMs: Latency): void;
  setCallsPerMinute(callsPerMinute: number | undefined): void;
}

/** Wall-clock time that never jumps back, with fractions of a millisecond. */
const monotonicClock: Clock = { now: () => performance.timeOrigin + performance.now() };

/**
 * Starts a server on loopback that speaks CoinGecko's price API.
 * @throws when the port is taken or the replayed folder cannot be used.
 */
export async function startMarket(options: MarketOptions = {}): Promise<Market> {
  const clock = options.clock ?? monotonicClock;
  const source =
    options.replay === undefined
      ? createSimulatedSource({
          seed: options.seed ?? 1,
          madeUpAssets: options.madeUpAssets ?? 0,
          walkIntervalMs: options.walkIntervalMs ?? 5_000,
          clock,
        })
      : await createReplaySource(options.replay, clock);
  const log = createCallLog(clock);
  const faults = createFaultList();
  const settings: RequestDeps['settings'] = {
    latencyMs: options.latencyMs ?? 0,
    callsPerMinute: options.callsPerMinute,
    apiKey: options.apiKey,
    historyDays: historyDaysOf(options),
    monthlyCredits: options.monthlyCredits ?? 10_000,
  };
  const server = createServer(
    // Longer lines than the API accepts must get as far as its own 414.
    { maxHeaderSize: 65_536, keepAliveTimeout: 75_000 },
    createRequestListener({ source, log, faults, settings }),
  );
  const port = await listenLocally(server, options.port ?? 0);
  return {
    url: `http://127.0.0.1:${port}/api/v3`,
    coinMarketCapUrl: `http://127.0.0.1:${port}/cmc`,
    defiLlamaUrl: `http://127.0.0.1:${port}/llama`,
    port,
    close: async () => {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeAllConnections();
      await closed;
    },
    calls: () => log.calls(),
    callCount: () => log.total(),
    rejected: () => log.rejected(),
    worstSlidingMinute: () => log.worstSlidingMinute(),
    resetCalls: () => log.reset(),
    inject: (fault, faultOptions) => faults.inject(fault, faultOptions),
    clearFaults: () => faults.clear(),
    setLatency: (latencyMs) => void (settings.latencyMs = latencyMs),
    setCallsPerMinute: (callsPerMinute) => void (settings.callsPerMinute = callsPerMinute),
  };
}

function historyDaysOf({ historyDays, apiKey }: MarketOptions): number | undefined {
  if (historyDays === undefined) return apiKey?.plan === 'pro' ? undefined : 365;
  return historyDays ?? undefined;
}

const host = '127.0.0.1';
const [lowest, highest] = [15_000, 30_000];
const attempts = 50;

/**
 * Listens on loopback and returns the port. Port 0 picks a free one from 15000 to 29999: below the range from which
 * the system takes the ports of outgoing connections, so that none of those is ever in the way.
 * @throws the listen error when a given port is taken, or when no free one was found.
 */
export async function listenLocally(server: Server, port: number): Promise<number> {
  if (port !== 0) return await listenOn(server, port);
  for (let attempt = 1; ; attempt += 1) {
    const candidate = lowest + Math.floor(Math.random() * (highest - lowest));
    try {
      return await listenOn(server, candidate);
    } catch (error) {
      if (
        attempt === attempts ||
        !(error instanceof Error && 'code' in error && error.code === 'EADDRINUSE')
      ) {
        throw error;
      }
    }
  }
}

async function listenOn(server: Server, port: number): Promise<number> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => {
      server.off('error', reject);
      resolve();
    });
  });
  return port;
}
