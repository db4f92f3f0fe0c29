/** Lets the process that started a server ask it for its own figures, and hand it events. */
import type { Serializable } from 'node:child_process';
import { sleep } from '../../src/platform/concurrency/sleep.ts';

/** What a server says of itself. */
export interface Samples {
  readonly rssBytes: number;
  /** CPU time (µs) since the start of the process, all its threads included. */
  readonly cpuMicros: number;
  /** Things that keep the event loop busy: sockets, timers, requests. NaN where nobody can tell. */
  readonly handles: number;
  /** Streams that the server counts as open. */
  readonly streams: number;
  /** Connections with more than 64 KiB that the system has not taken. */
  readonly behind: number;
  /** Streams that have ended because the client was too slow. */
  readonly slow: number;
}

/** What only the server knows. */
type OwnFigures = Partial<Pick<Samples, 'streams' | 'behind' | 'slow'>>;

/** Question of the starting process. */
export interface ProbeQuestion {
  readonly ask: 'figures';
  /** Whether to collect garbage first: RSS is worth nothing otherwise, and CPU time is worth nothing afterwards. */
  readonly settle: boolean;
}

/** One event for all clients of a server that is not ours. */
export interface ProbeEvent {
  readonly id: string;
  readonly data: string;
}

const collections = 4;
const pauseMs = 60;

/** Answers questions and takes events. Call it once. */
export function answerProbe(
  own: () => OwnFigures,
  onEvent: (event: ProbeEvent) => void = () => undefined,
): void {
  process.on('message', (message: ProbeQuestion | ProbeEvent) => {
    if ('data' in message) onEvent(message);
    else void figures(own, message.settle).then((answer) => process.send?.(answer as Serializable));
  });
  // The channel alone is no reason to go on.
  process.channel?.unref();
}

async function figures(own: () => OwnFigures, settle: boolean): Promise<Samples> {
  const { gc } = globalThis;
  if (settle && gc === undefined) throw new Error('the server runs without --expose-gc');
  for (let turn = 0; settle && turn < collections; turn++) {
    gc?.();
    await sleep(pauseMs);
  }
  const { user, system } = process.cpuUsage();
  return {
    rssBytes: process.memoryUsage.rss(),
    cpuMicros: user + system,
    handles: process.getActiveResourcesInfo().length,
    streams: NaN,
    behind: NaN,
    slow: NaN,
    ...own(),
  };
}
