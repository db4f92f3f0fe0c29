/**
 * The clients of the stream benches, all in one process: raw sockets that look for the marks in what they read and for nothing
 * else, because whatever they cost is missing at the server when both share a machine.
 */
import { connect, type Socket } from 'node:net';
import { sleep } from '../src/platform/concurrency/sleep.ts';
import { stampField, stampLength } from './streams/ticks.ts';
import type { LoadOrder, LoadReport, OpenOrder, StampReport } from './streams/load-process.ts';

interface Stamp {
  count: number;
  firstAt: number;
  lastAt: number;
  /** Deliveries by their latency (ms). */
  readonly latencies: Uint32Array;
}

interface Client {
  readonly socket: Socket;
  readonly order: OpenOrder;
  /** The end of what was read, where it may be the beginning of a mark. */
  rest: Buffer | undefined;
  hasHead: boolean;
}

const mark = Buffer.from(stampField);
const markLength = mark.length + stampLength;
const longestLatencyMs = 10_000;
const maxStamps = 2_000;
const openAtOnce = 100;
const openDeadlineMs = 60_000;
const bufferBytes = 65_536;

const stamps = new Map<string, Stamp>();
const clients = new Set<Client>();
/** Shared by all: what is read is looked through before anything else is read. */
const shared = Buffer.alloc(bufferBytes);
let bytes = 0;
let closedByServer = 0;

function responseHeadersOf(text: string): Stamp {
  const known = stamps.get(text);
  if (known !== undefined) return known;
  const stamp = { count: 0, firstAt: 0, lastAt: 0, latencies: new Uint32Array(longestLatencyMs + 1) };
  stamps.set(text, stamp);
  const oldest = stamps.keys().next();
  if (stamps.size > maxStamps && oldest.done !== true) stamps.delete(oldest.value);
  return stamp;
}

/** Adds the marks in what a client has read; returns what may be the beginning of another one. */
function countMarks(text: Buffer, now: number): Buffer | undefined {
  let from = 0;
  for (;;) {
    const at = text.indexOf(mark, from);
    if (at < 0 || at + markLength > text.length) break;
    const digits = text.toString('latin1', at + mark.length, at + markLength);
    const stamp = responseHeadersOf(digits);
    stamp.count += 1;
    if (stamp.firstAt === 0) stamp.firstAt = now;
    stamp.lastAt = now;
    const latency = Math.min(longestLatencyMs, Math.max(0, now - Number(digits)));
    stamp.latencies[latency] = (stamp.latencies[latency] ?? 0) + 1;
    from = at + markLength;
  }
  // No mark goes across the end of a line, nor of a JSON object.
  const last = text[text.length - 1];
  if (last === 0x0a || last === 0x7d) return undefined;
  return Buffer.from(text.subarray(Math.max(from, text.length - markLength + 1)));
}

function onRead(client: Client, chunk: Buffer): void {
  bytes += chunk.length;
  // A ping of WebSocket: its sender wants to see the same bytes again, masked (by zeros).
  if (client.order.transport === 'ws' && chunk[0] === 0x89) {
    const length = (chunk[1] ?? 0) & 0x7f;
    const payload = Buffer.from(chunk.subarray(2, 2 + length));
    client.socket.write(Buffer.concat([Buffer.from([0x8a, 0x80 | length, 0, 0, 0, 0]), payload]));
  }
  client.rest = countMarks(
    client.rest === undefined ? chunk : Buffer.concat([client.rest, chunk]),
    Date.now(),
  );
}

/** A masked text frame (its mask is zero, so the text stands in it as it is). */
function maskedText(text: string): Buffer {
  const payload = Buffer.from(text);
  const { length } = payload;
  if (length > 65_535) throw new Error('too long for one message');
  const head =
    length < 126
      ? Buffer.from([0x81, 0x80 | length, 0, 0, 0, 0])
      : Buffer.from([0x81, 0xfe, length >> 8, length & 0xff, 0, 0, 0, 0]);
  return Buffer.concat([head, payload]);
}

let hasComplained = false;

function complain(answer: string): void {
  if (!hasComplained) process.stderr.write(`a stream was refused: ${answer}\n`);
  hasComplained = true;
}

/** Resolves when the server has answered; a client that stalls asks, and never reads. */
function open(order: OpenOrder, index: number): Promise<boolean> {
  return new Promise((resolve) => {
    const { port, addresses, request, transport, firstMessage, stalls } = order;
    const expected = transport === 'ws' ? 'HTTP/1.1 101' : 'HTTP/1.1 200';
    const take = (chunk: Buffer): void => {
      if (client.hasHead) {
        onRead(client, chunk);
        return;
      }
      client.hasHead = true;
      const isWelcome = chunk.toString('latin1', 0, expected.length) === expected;
      if (!isWelcome) complain(chunk.toString('latin1', 0, 300));
      if (isWelcome && firstMessage !== undefined) socket.write(maskedText(firstMessage));
      onRead(client, chunk);
      resolve(isWelcome);
    };
    const socket = connect({
      host: '127.0.0.1',
      port,
      ...(addresses > 1 ? { localAddress: `127.0.0.${1 + (index % addresses)}` } : {}),
      ...(stalls
        ? {}
        : {
            onread: {
              buffer: shared,
              callback: (length: number, buffer: Uint8Array) => {
                take((buffer as Buffer).subarray(0, length));
                return true;
              },
            },
          }),
    });
    const client: Client = { socket, order, rest: undefined, hasHead: false };
    clients.add(client);
    socket.setNoDelay(true);
    socket.on('error', () => undefined);
    socket.on('close', () => {
      if (clients.delete(client)) closedByServer += 1;
      resolve(false);
    });
    socket.write(request);
    if (stalls) socket.once('connect', () => resolve(true));
  });
}

async function openAll(order: OpenOrder): Promise<LoadReport> {
  const deadline = Date.now() + openDeadlineMs;
  let opened = 0;
  for (let first = 0; first < order.count && Date.now() < deadline; first += openAtOnce) {
    const batch = Array.from({ length: Math.min(openAtOnce, order.count - first) }, (_, i) =>
      open(order, first + i),
    );
    const answers = await Promise.race([Promise.all(batch), sleep(openDeadlineMs).then(() => [])]);
    opened += answers.filter(Boolean).length;
  }
  return report([], opened);
}

async function closeAll(): Promise<LoadReport> {
  const sockets = [...clients].map(({ socket }) => socket);
  clients.clear();
  const closed = sockets.map((socket) => new Promise((resolve) => socket.once('close', resolve)));
  for (const socket of sockets) socket.destroy();
  await Promise.all(closed);
  return report([], sockets.length);
}

/** The latency (ms) below which `share` of the deliveries lie. */
function percentileOf(histogram: Uint32Array, share: number): number {
  const total = histogram.reduce((sum, count) => sum + count, 0);
  let seen = 0;
  for (const [latency, count] of histogram.entries()) {
    seen += count;
    if (seen >= total * share && seen > 0) return latency;
  }
  return NaN;
}

function report(requested: readonly number[], clientCount = clients.size): LoadReport {
  const all = new Uint32Array(longestLatencyMs + 1);
  const reports = requested.map((sentAt): StampReport => {
    const stamp = stamps.get(String(sentAt));
    if (stamp === undefined) return { sentAt, count: 0, lastMs: NaN };
    stamp.latencies.forEach((count, latency) => (all[latency] = (all[latency] ?? 0) + count));
    return { sentAt, count: stamp.count, lastMs: stamp.lastAt - sentAt };
  });
  return {
    clients: clientCount,
    closedByServer,
    bytes,
    stamps: reports,
    p50Ms: percentileOf(all, 0.5),
    p99Ms: percentileOf(all, 0.99),
  };
}

async function obey(order: LoadOrder): Promise<LoadReport> {
  if (order.order === 'open') return await openAll(order);
  if (order.order === 'close') return await closeAll();
  return report(order.stamps);
}

process.on('message', (order: LoadOrder) => void obey(order).then((answer) => process.send?.(answer)));
process.on('SIGTERM', () => process.exit(0));
process.send?.('ready');
