/** The streams of an API process: where handlers open them, and where the process ends them. */
import { portfolioNews, type HoldingRow } from '../quotes/aggregate.ts';
import { isFinal, type JobRecord } from '../../domain/job.ts';
import { requesterText } from '../../domain/requester.ts';
import type { Clock } from '../../platform/concurrency/clock.ts';
import { withDeadline } from '../../platform/concurrency/deadline.ts';
import { messageOf } from '../../domain/errors.ts';
import type { Logger } from '../../platform/observability/logger.ts';
import { Frame } from '../../platform/realtime/frame.ts';
import type { JobEventReader } from '../jobs/job-event-reader.ts';
import { isEndOfJob, JobStream } from '../jobs/job-stream-session.ts';
import type { PriceHub } from '../quotes/price-hub.ts';
import { runPortfolioStream, type PortfolioSource } from '../portfolios/portfolio-stream.ts';
import type { Watch } from '../quotes/price-watch.ts';
import { parsePosition, runPriceStream, type PriceView } from '../quotes/price-stream.ts';
import {
  refuseSoftly,
  sendAway,
  SseStream,
  type SseRequest,
  type SseStreamDeps,
} from '../../platform/realtime/sse-stream.ts';
import type { StreamRegistry } from '../../platform/realtime/stream-registry.ts';
import type { FollowJob } from '../jobs/ws-jobs.ts';
import { WsSession, type WsPorts } from './ws-session.ts';
import { refuseWs, WsStream, type WsRequest } from '../../platform/realtime/ws-stream.ts';

export interface JobStreamAsked extends SseRequest {
  readonly job: JobRecord;
  /** From the `Last-Event-ID` header or `lastEventId` query; undefined on a first connect. */
  readonly lastEventId: string | undefined;
}

export interface PriceStreamAsked extends SseRequest {
  readonly watch: Watch;
  /** With quantities: the stream tells the value. */
  readonly holdings?: readonly HoldingRow[] | undefined;
  /** Send events `portfolio`, also where there are no quantities. */
  readonly asPortfolio: boolean;
  readonly maxUpdates: number | undefined;
  readonly lastEventId: string | undefined;
}

export interface PortfolioStreamAsked extends SseRequest {
  readonly source: PortfolioSource;
  readonly intervalMs: number;
  readonly maxUpdates: number | undefined;
  readonly lastEventId: string | undefined;
}

/** A client that has been upgraded, with what its messages need. */
export interface WsAsked extends WsRequest, WsPorts {}

export interface ClientStreams {
  /**
   * Takes the response over: `hello`, what was missed, then live events until the job has ended or the client goes away.
   * Returns as soon as the head is written.
   * A client that comes back after the last event gets 204, which ends its EventSource.
   */
  openJob(asked: JobStreamAsked): void;
  /**
   * Takes the response over: `hello`, a snapshot, then what changes. Settles when the snapshot is written.
   * A client that comes back after its last update gets 204, which ends its EventSource.
   */
  openPrices(asked: PriceStreamAsked): Promise<void>;
  /**
   * Takes the response over: `hello`, what the portfolio is worth, then what changes, until it is deleted or the client goes
   * away. Returns as soon as the head is written.
   */
  openPortfolio(asked: PortfolioStreamAsked): void;
  /** Greets the client, and answers its messages until the connection closes. */
  openSocket(asked: WsAsked): void;
  /** Ends the streams whose credential was revoked. */
  endRevoked(): void;
  /** Open streams of this process. */
  count(): number;
  /** Streams that have ended, by reason. */
  ended(): Readonly<Record<string, number>>;
  /** Ends every stream with a spread retry hint. */
  drain(): Promise<void>;
}

interface ClientStreamsDeps {
  readonly registry: StreamRegistry;
  readonly hub: PriceHub;
  readonly reader: JobEventReader;
  readonly clock: Clock;
  readonly log: Logger;
  /** Those of the jobs that have ended. */
  readonly findEnded: (jobIds: readonly string[]) => Promise<readonly JobRecord[]>;
}

/** Longest wait (ms) for quotes that are not held yet, before the stream begins without them. */
const loadDeadlineMs = 1_000;
/** Rows of followed jobs are looked at this often (ms): the event that ends a stream is lost when Redis loses its data. */
const lookAtRowsMs = 15_000;

/** Builds the {@link ClientStreams} of an API process. */
export function createClientStreams(deps: ClientStreamsDeps): ClientStreams {
  return new ProcessStreams(deps);
}

class ProcessStreams implements ClientStreams {
  readonly #deps: ClientStreamsDeps;
  readonly #streamDeps: SseStreamDeps;
  readonly #jobs = new Set<JobStream>();
  readonly #looking: NodeJS.Timeout;

  constructor(deps: ClientStreamsDeps) {
    const { registry, hub, clock } = deps;
    this.#deps = deps;
    this.#streamDeps = { registry, heartbeat: createHeartbeat(hub, clock), now: () => clock.now() };
    this.#looking = setInterval(() => void endForgotten(this.#jobs, deps), lookAtRowsMs);
    this.#looking.unref();
  }

  openJob(asked: JobStreamAsked): void {
    if (isFinal(asked.job.state) && isEndOfJob(asked.lastEventId)) {
      sendAway(asked);
      return;
    }
    const stream = this.#open(asked);
    if (stream === undefined) return;
    const { job, lastEventId } = asked;
    const sink = { write: (frame: Frame) => stream.write(frame), complete: () => stream.end('complete') };
    const stop = this.#follow({ job, lastEventId, sink, onFault: () => stream.end('fault') });
    stream.onClose(stop);
  }

  async openPrices(asked: PriceStreamAsked): Promise<void> {
    const { response, watch, maxUpdates, lastEventId } = asked;
    const { hub, clock } = this.#deps;
    const position = parsePosition(lastEventId);
    if (maxUpdates !== undefined && (position?.updates ?? 0) >= maxUpdates) {
      sendAway(asked);
      return;
    }
    await this.#load(watch.currency, watch.assetIds);
    if (response.destroyed) return;
    const stream = this.#open(asked);
    if (stream === undefined) return;
    const serverTime = new Date(clock.now()).toISOString();
    runPriceStream({ stream, hub, watch, view: viewOf(asked), maxUpdates, position, serverTime });
  }

  openPortfolio(asked: PortfolioStreamAsked): void {
    const { hub, clock, log } = this.#deps;
    const position = parsePosition(asked.lastEventId);
    if (asked.maxUpdates !== undefined && (position?.updates ?? 0) >= asked.maxUpdates) {
      sendAway(asked);
      return;
    }
    const stream = this.#open(asked);
    if (stream === undefined) return;
    const requester = requesterText(asked.viewer);
    const load = (currency: string, assetIds: readonly string[]) => this.#load(currency, assetIds);
    runPortfolioStream({ ...asked, stream, hub, log, position, requester, load, now: () => clock.now() });
  }

  openSocket(asked: WsAsked): void {
    const { registry, hub, clock, log } = this.#deps;
    const limit = registry.limitReached(asked);
    if (limit !== undefined) {
      refuseWs(asked.ws, limit);
      return;
    }
    const stream = new WsStream(asked, this.#streamDeps);
    const follow: FollowJob = (request) => this.#follow(request);
    const load = (currency: string, assetIds: readonly string[]) => this.#load(currency, assetIds);
    new WsSession({ ...asked, stream, hub, clock, log, follow, load }).begin();
  }

  endRevoked(): void {
    this.#deps.registry.endRevoked();
  }

  count(): number {
    return this.#deps.registry.size;
  }

  ended(): Readonly<Record<string, number>> {
    return this.#deps.registry.ended();
  }

  drain(): Promise<void> {
    clearInterval(this.#looking);
    this.#deps.registry.drain();
    return Promise.resolve();
  }

  #follow({ job, lastEventId, sink, onFault }: Parameters<FollowJob>[0]): () => void {
    const { reader, clock, log } = this.#deps;
    const session = new JobStream({ reader, clock, sink, job, lastEventId });
    this.#jobs.add(session);
    session.run().catch((error: unknown) => {
      if (!this.#jobs.has(session)) return;
      log.warn({ job: job.id, reason: messageOf(error) }, 'a job stream broke off');
      onFault();
    });
    return () => {
      this.#jobs.delete(session);
      session.close();
    };
  }

  /** Without Redis a stream begins with what is held here, and goes on when the rest comes. */
  async #load(currency: string, assetIds: readonly string[]): Promise<void> {
    const loading = this.#deps.hub.load(currency, assetIds);
    await withDeadline(loading, loadDeadlineMs, 'loading quotes').catch(() => undefined);
  }

  /** Undefined when a limit leaves no room, which the client has been told. */
  #open(asked: SseRequest): SseStream | undefined {
    const limit = this.#deps.registry.limitReached(asked);
    if (limit === undefined) return new SseStream(asked, this.#streamDeps);
    refuseSoftly(asked, limit);
    return undefined;
  }
}

function viewOf({ holdings, asPortfolio }: PriceStreamAsked): PriceView | undefined {
  if (!asPortfolio) return undefined;
  return {
    type: 'portfolio',
    render: (watching, changed) =>
      holdings === undefined
        ? `{"portfolio":${watching.jsonOf(changed)}}`
        : portfolioNews(watching.readings(), holdings, changed),
  };
}

/** The heartbeat of this second: a comment for proxies, and an event for clients, which comments do not reach. */
export function createHeartbeat(hub: PriceHub, clock: Clock): () => Frame {
  let madeAt = 0;
  let frame: Frame | undefined;
  return () => {
    const now = clock.now();
    if (frame === undefined || now - madeAt >= 1_000) {
      madeAt = now;
      const data = { time: new Date(now).toISOString(), seq: hub.seq, source_age_seconds: hub.sourceAges() };
      frame = new Frame({ type: 'hb', data: JSON.stringify(data), comment: 'hb' });
    }
    return frame;
  };
}

async function endForgotten(
  jobs: ReadonlySet<JobStream>,
  { findEnded, log }: ClientStreamsDeps,
): Promise<void> {
  if (jobs.size === 0) return;
  try {
    const ended = new Map((await findEnded([...jobs].map(({ jobId }) => jobId))).map((job) => [job.id, job]));
    for (const session of jobs) {
      const job = ended.get(session.jobId);
      if (job !== undefined) session.endWith(job);
    }
  } catch (error) {
    log.debug({ reason: messageOf(error) }, 'the jobs of open streams could not be read');
  }
}
