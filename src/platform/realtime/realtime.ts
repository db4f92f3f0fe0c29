/** The streams of an API process: features open them here, and register what WebSocket clients can subscribe to. */
import type { z } from 'zod';
import { UnauthenticatedError } from '../../domain/errors.ts';
import type { Principal } from '../../domain/principal.ts';
import type { ApiContext } from '../http/context.ts';
import { responseHeadersOf } from '../http/envelope.ts';
import { limitSubjectOf } from '../http/network.ts';
import type { Platform } from '../platform.ts';
import { Frame } from './frame.ts';
import { refuseSoftly, SseStream, type SseRequest, type SseStreamDeps } from './sse-stream.ts';
import { StreamRegistry } from './stream-registry.ts';
import type { RenewTicket } from './stream-life.ts';
import type { Topic } from './topic.ts';
import { createMessageReader, WsSession } from './ws-session.ts';
import { refuseWs, WsStream, type WsRequest } from './ws-stream.ts';

export type Realtime = ReturnType<typeof createRealtime>;

/** Builds the streams of an API process; they end when the process stops accepting work. */
export function createRealtime(
  { config, clock, log, shutdown }: Pick<Platform, 'config' | 'clock' | 'log' | 'shutdown'>,
  {
    isRevoked,
    onRevoked,
    issueTicket,
    registry = new StreamRegistry({
      clock,
      limits: {
        perUser: config.STREAMS_PER_USER,
        perAddress: config.STREAMS_PER_ADDRESS,
        inAll: config.STREAMS_PER_PROCESS,
      },
      isRevoked,
    }),
  }: {
    readonly isRevoked: (viewer: Principal) => boolean;
    /** Calls `listener` when `isRevoked` may say something else. */
    readonly onRevoked?: (listener: () => void) => void;
    /** Makes a ticket that opens streams for the principal. */
    readonly issueTicket: (viewer: Principal) => ReturnType<RenewTicket>;
    readonly registry?: StreamRegistry;
  },
) {
  // In the order of their names, whatever the order in which the features are made.
  let topics: ReadonlyMap<string, Topic> = new Map();
  let readMessage: ReturnType<typeof createMessageReader> | undefined;
  let beatAt = 0;
  let beat: Frame | undefined;

  /** That of this second: a comment for proxies, and an event for clients, which comments do not reach. */
  function heartbeat(): Frame {
    const now = clock.now();
    if (beat === undefined || now - beatAt >= 1_000) {
      beatAt = now;
      const members = [...topics.values()].map((topic) => topic.beat?.());
      const data = Object.assign({ time: new Date(now).toISOString() }, ...members) as object;
      beat = new Frame({ type: 'heartbeat', data: JSON.stringify(data), comment: 'heartbeat' });
    }
    return beat;
  }

  const streamDeps: SseStreamDeps = { registry, heartbeat, now: () => clock.now() };
  shutdown.add('accept', 'streams', () => registry.drain());
  onRevoked?.(() => registry.endRevoked());

  return {
    registry,
    issueTicket,

    /** Lets clients of WebSockets subscribe to something. */
    registerTopic<S extends z.ZodRawShape, U extends z.ZodRawShape>(kind: string, topic: Topic<S, U>): void {
      const all = [...topics, [kind, topic as unknown as Topic] as const];
      topics = new Map(all.sort(([a], [b]) => (a < b ? -1 : 1)));
      readMessage = undefined;
    },

    /** Takes the response away from Koa: the caller who gets the request answers it. Only for routes that need a credential. */
    hijack(ctx: ApiContext): SseRequest {
      const { principal: viewer, address, cameWithTicket } = ctx.state;
      if (viewer === undefined) throw new UnauthenticatedError();
      ctx.respond = false;
      const header = ctx.req.headers['last-event-id'];
      const requested = typeof header === 'string' ? header : ctx.query['lastEventId'];
      return {
        viewer,
        address: limitSubjectOf(address),
        response: ctx.res,
        headers: responseHeadersOf(ctx),
        renewTicket: cameWithTicket ? () => issueTicket(viewer) : undefined,
        lastEventId: typeof requested === 'string' ? requested : undefined,
      };
    },

    /** Opens an SSE stream. Undefined when a limit leaves no room, which the client has been told. */
    open(requested: SseRequest): SseStream | undefined {
      const limit = registry.limitReached(requested);
      if (limit === undefined) return new SseStream(requested, streamDeps);
      refuseSoftly(requested, limit);
      return undefined;
    },

    /** Greets a client that has been upgraded, and answers its messages until the connection closes. */
    openSocket(requested: WsRequest): void {
      const limit = registry.limitReached(requested);
      if (limit !== undefined) {
        refuseWs(requested.ws, limit);
        return;
      }
      readMessage ??= createMessageReader(topics);
      const stream = new WsStream(requested, streamDeps);
      const renew = (): ReturnType<RenewTicket> => issueTicket(requested.viewer);
      new WsSession({
        stream,
        ws: requested.ws,
        clock,
        log,
        topics,
        readMessage,
        issueTicket: renew,
      }).begin();
    },
  };
}
