/** Price streams over SSE and WebSocket, which come back when they end; their prices are looked up in the market too. */
import { WebSocket } from 'ws';
import { readSse } from '../../test/e2e/support/sse-reader.ts';
import { madeUp } from '../support/figures.ts';
import { anyOf, pause, type Part, type Soak } from './clients.ts';

const streamsEach = 2;
const coins = ['bitcoin', 'ethereum', ...madeUp(1, 10)];
/** Without a price for this time (ms) a stream is said to be silent: longer than any fault should keep it so. */
const silentMs = 90_000;

interface StreamRow {
  readonly id: string;
  readonly state: string;
  readonly price: number;
  readonly received_at: string;
}

export function streamsLoad(soak: Soak): Part {
  const urls = soak.fleet.stack.apis.map(({ url }) => url);
  let [events, opened, longestIdleMs] = [0, 0, 0];

  const seen = (where: string, rows: readonly StreamRow[]): void => {
    for (const { id, state, price, received_at: at } of rows) {
      if (state !== 'fresh') continue;
      const receivedAt = Date.parse(at);
      // It was fresh when it was sent, which may be long before it comes.
      soak.truth.check({ where, id, price, requested: receivedAt, answered: Date.now(), receivedAt });
    }
  };

  /** Keeps one stream open; `open` resolves with what tells whether it has ended, and what ends it. */
  async function keep(
    name: string,
    open: (
      onRows: (rows: readonly StreamRow[]) => void,
    ) => Promise<{ hasEnded: () => boolean; end: () => void }>,
  ): Promise<void> {
    let heardAt = Date.now();
    let isSilent = false;
    const onRows = (rows: readonly StreamRow[]): void => {
      events += 1;
      longestIdleMs = Math.max(longestIdleMs, Date.now() - heardAt);
      heardAt = Date.now();
      isSilent = false;
      seen(name, rows);
    };
    const isOver = (): boolean => soak.end.aborted;
    while (!isOver()) {
      const stream = await open(onRows).catch(() => undefined);
      if (stream !== undefined) opened += 1;
      while (stream !== undefined && !stream.hasEnded() && !isOver()) {
        await pause(soak, 500);
        if (Date.now() - heardAt > silentMs && !isSilent) {
          isSilent = true;
          soak.say(`${new Date().toISOString()} ${name} has had no price for ${silentMs / 1_000} s`);
        }
      }
      stream?.end();
      await pause(soak, 1_000);
    }
  }

  async function openSse(onRows: (rows: readonly StreamRow[]) => void) {
    const url = `${anyOf(urls)}/api/v1/crypto/stream/prices?coins=${coins.join(',')}&interval=1`;
    const reader = await readSse(url, {
      headers: { authorization: `Bearer ${anyOf(soak.users).token}` },
      onEvent: ({ event, data }) => {
        if (event === 'price') onRows(data as StreamRow[]);
      },
    });
    return { hasEnded: () => reader.state !== 'open', end: () => reader.cut() };
  }

  async function openSocket(onRows: (rows: readonly StreamRow[]) => void) {
    const socket = new WebSocket(`${anyOf(urls).replace('http', 'ws')}/api/v1/crypto/stream/ws`, {
      headers: { authorization: `Bearer ${anyOf(soak.users).token}` },
    });
    let ended = false;
    socket.on('error', () => undefined);
    socket.on('close', () => (ended = true));
    socket.on('open', () => socket.send(JSON.stringify({ id: 'all', action: 'subscribe', coins })));
    socket.on('message', (bytes: Buffer) => {
      const message = JSON.parse(bytes.toString()) as { type?: string; data?: StreamRow[] };
      if (message.type === 'price') onRows(message.data ?? []);
    });
    return Promise.resolve({ hasEnded: () => ended, end: () => socket.terminate() });
  }

  return {
    async run() {
      await Promise.all(
        Array.from({ length: streamsEach }, (_, index) => [
          keep(`SSE ${index + 1}`, openSse),
          keep(`WebSocket ${index + 1}`, openSocket),
        ]).flat(),
      );
    },
    rows() {
      const of = `${2 * streamsEach} streams, opened ${opened} times, ${events} events`;
      const longest = `longest time without a price ${(longestIdleMs / 1_000).toFixed(0)} s`;
      // How long it takes depends on the machine; that prices come again does not.
      const result = `${of}, ${longest}${events === 0 ? ', NONE CAME' : ''}`;
      return Promise.resolve([{ what: 'streams', result, requested: 'prices', kept: events > 0 }]);
    },
  };
}
