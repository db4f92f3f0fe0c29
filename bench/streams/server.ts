/** The servers of the stream benches, alike to whoever measures them: a request that opens a stream, a way to send, figures. */
import { systemClock } from '../../src/platform/concurrency/clock.ts';
import type { Tick } from '../../src/features/quotes/ticks.ts';
import { createTicks } from '../../src/features/quotes/ticks.ts';
import { silentLogger } from '../../src/platform/observability/logger.ts';
import { createRedisKeys } from '../../src/platform/redis/keys.ts';
import { closeRedis, openRedis } from '../../src/platform/redis/connections.ts';
import { newUser } from '../../test/support/api-client.ts';
import { stackSecret, type Stack } from '../../test/support/stack.ts';
import { askProcess, pin, startBare, type BareProcess } from '../support/procs.ts';
import type { OpenOrder } from './load-process.ts';
import type { Samples, ProbeQuestion } from './probe.ts';
import { dataOf } from './ticks.ts';

/** A server under test. */
export interface StreamServer {
  /** How clients open a stream of these coins; the others than ours send everything to all. */
  streamOf(coins: readonly string[]): Pick<OpenOrder, 'port' | 'transport' | 'request' | 'firstMessage'>;
  /** Sends a tick to all who watch its coins. */
  publish(tick: Tick): Promise<void>;
  /** `settle` collects garbage first. */
  figures(settle: boolean): Promise<Samples>;
  stop(): Promise<void>;
}

/** How a kind of server is started, each time as a fresh process on the core of the servers. */
export type StartServer = () => Promise<StreamServer>;

/** Core of the servers; clients have the other. */
export const serverCore = 0;
/** Core of the clients. */
export const loadCore = 1;

const answerDeadlineMs = 20_000;

/** HTTP text of a GET. */
export function requestText(port: number, path: string, headers: Readonly<Record<string, string>>): string {
  const lines = Object.entries({ host: `127.0.0.1:${port}`, ...headers }).map(
    ([name, value]) => `${name}: ${value}`,
  );
  return `GET ${path} HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n`;
}

/** What a WebSocket client asks with. */
const upgradeHeaders = {
  connection: 'Upgrade',
  upgrade: 'websocket',
  'sec-websocket-version': '13',
  'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
} as const;

function askFigures({ child }: BareProcess, settle: boolean): Promise<Samples> {
  const question: ProbeQuestion = { ask: 'figures', settle };
  return askProcess(child, question, answerDeadlineMs) as Promise<Samples>;
}

const portOf = ({ url }: BareProcess): number => Number(new URL(url).port);

/** Without a garbage collector to call, RSS says nothing. */
const nodeFlags = ['--expose-gc'];

/** One of the servers of `bare-streams`. */
export async function startContender(kind: string): Promise<StreamServer> {
  const bare = await startBare('bare-streams', { NODE_ENV: 'production', KIND: kind }, nodeFlags);
  pin(bare.pid, serverCore);
  const port = portOf(bare);
  const isWs = kind === 'plain ws';
  const headers = isWs ? upgradeHeaders : { accept: 'text/event-stream' };
  let sent = 0;
  return {
    streamOf: () => ({
      port,
      transport: isWs ? 'ws' : 'sse',
      request: requestText(port, '/prices', headers),
    }),
    publish: (tick) => {
      bare.child.send({ id: `bench-abc.${++sent}`, data: dataOf(tick) });
      return Promise.resolve();
    },
    figures: (settle) => askFigures(bare, settle),
    stop: () => bare.stop(),
  };
}

export interface OursRequest {
  readonly stack: Stack;
  readonly transport?: 'sse' | 'ws';
  /** Least time (ms) between two updates of a stream. */
  readonly intervalMs?: number;
  readonly flags?: readonly string[];
}

/** Ours: every tick goes through Redis and the hub, every stream through authentication. */
export async function startOurs({
  stack,
  transport = 'sse',
  intervalMs = 100,
  flags = [],
}: OursRequest): Promise<StreamServer> {
  const environment = {
    ...oursEnvironment,
    DATABASE_URL: stack.databaseUrl,
    REDIS_URL: stack.redisUrl,
    REDIS_KEY_PREFIX: stack.redisPrefix,
    LEAST_INTERVAL_MS: String(intervalMs),
  };
  const bare = await startBare('stream-server', environment, [...nodeFlags, ...flags]);
  pin(bare.pid, serverCore);
  const port = portOf(bare);
  const { token } = await newUser(bare.url);
  const authorization = `Bearer ${token}`;
  const redis = openRedis({ url: stack.redisUrl, role: 'blocking', name: 'bench', log: silentLogger() });
  const channel = createRedisKeys(stack.redisPrefix).ticks;
  const publisher = createTicks({ clock: systemClock, redis, subscriber: redis, channel });
  return {
    streamOf: (coins) => (transport === 'ws' ? socketOf : eventsOf)(port, authorization, coins),
    publish: (tick) => publisher.publish(tick),
    figures: (settle) => askFigures(bare, settle),
    async stop() {
      await closeRedis(redis);
      await bare.stop();
    },
  };
}

const plenty = '1000000';
const oursEnvironment = {
  APP_ENV: 'production',
  NODE_ENV: 'production',
  PROVIDER: 'simulated',
  JWT_SECRET: stackSecret,
  LOG_FILE: '/dev/null',
  RATE_LIMIT_USER: plenty,
  RATE_LIMIT_ADDRESS: plenty,
  REGISTRATIONS_PER_HOUR: plenty,
  STREAMS_PER_USER: plenty,
  STREAMS_PER_ADDRESS: plenty,
  STREAMS_PER_PROCESS: plenty,
};

type Opening = ReturnType<StreamServer['streamOf']>;

function eventsOf(port: number, authorization: string, coins: readonly string[]): Opening {
  const path = `/api/v1/crypto/stream/prices?coins=${coins.join(',')}`;
  return {
    port,
    transport: 'sse',
    request: requestText(port, path, { authorization, accept: 'text/event-stream' }),
  };
}

function socketOf(port: number, authorization: string, coins: readonly string[]): Opening {
  return {
    port,
    transport: 'ws',
    request: requestText(port, '/api/v1/crypto/stream/ws', { authorization, ...upgradeHeaders }),
    firstMessage: JSON.stringify({ action: 'subscribe', id: '1', coins }),
  };
}
