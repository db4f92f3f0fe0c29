/** The clients of the stream benches as the bench sees them: a process that is told what to open and asked what has come. */
import { askProcess, startBare } from '../support/procs.ts';

/** Streams to open. */
export interface OpenOrder {
  readonly order: 'open';
  readonly count: number;
  readonly port: number;
  readonly transport: 'sse' | 'ws';
  /** The whole HTTP request. */
  readonly request: string;
  /** For WebSockets: what is sent when the connection stands. */
  readonly firstMessage?: string | undefined;
  /** Loopback addresses to connect from: one has too few ports for very many clients. */
  readonly addresses: number;
  /** Whether these never read. */
  readonly stalls: boolean;
}

/** What the clients are told. */
export type LoadOrder =
  OpenOrder | { readonly order: 'close' } | { readonly order: 'report'; readonly stamps: readonly number[] };

/** Deliveries of one tick. */
export interface StampReport {
  readonly sentAt: number;
  readonly count: number;
  /** From the sending until the last client had it (ms). */
  readonly lastMs: number;
}

/** What has come. */
export interface LoadReport {
  /** Clients that the order was about. */
  readonly clients: number;
  /** Streams that were ended from the other side, since the start. */
  readonly closedByServer: number;
  readonly bytes: number;
  readonly stamps: readonly StampReport[];
  /** Of all deliveries. */
  readonly p50Ms: number;
  readonly p99Ms: number;
}

export interface Load {
  readonly pid: number;
  /** Opens streams; @throws when one is refused. */
  open(order: Omit<OpenOrder, 'order'>): Promise<void>;
  closeAll(): Promise<LoadReport>;
  /** What has come of these ticks. */
  report(stamps: readonly number[]): Promise<LoadReport>;
  stop(): Promise<void>;
}

const openDeadlineMs = 90_000;
const answerDeadlineMs = 20_000;

/** Starts the process of the clients. */
export async function startLoad(): Promise<Load> {
  const bare = await startBare('stream-load', {});
  const tell = async (order: LoadOrder, deadlineMs = answerDeadlineMs): Promise<LoadReport> =>
    (await askProcess(bare.child, order, deadlineMs)) as LoadReport;
  return {
    pid: bare.pid,
    async open(order) {
      const { clients } = await tell({ order: 'open', ...order }, openDeadlineMs);
      if (clients < order.count) throw new Error(`${order.count - clients} streams were refused`);
    },
    closeAll: () => tell({ order: 'close' }),
    report: (stamps) => tell({ order: 'report', stamps }),
    stop: () => bare.stop(),
  };
}
