import type { Tokens } from '../../features/accounts/tokens.ts';
import { UnauthenticatedError } from '../../domain/errors.ts';
import { limitSubjectOf } from './network.ts';
import type { SseRequest } from '../realtime/sse-stream.ts';
import type { ApiContext } from './context.ts';
import { stampOf } from './envelope.ts';

/** A request that has become a stream: whoever gets this answers it. */
export interface TakenOver extends SseRequest {
  /** From the `Last-Event-ID` header, or the query of a client that cannot set it. */
  readonly lastEventId: string | undefined;
}

/** Takes the response out of Koa's hands. Only for routes that need a credential. */
export function takeOver(
  ctx: ApiContext,
  tokens: Pick<Tokens, 'issueTicket' | 'ticketExpiresInSeconds'>,
): TakenOver {
  const { principal: viewer, address, cameWithTicket } = ctx.state;
  if (viewer === undefined) throw new UnauthenticatedError();
  ctx.respond = false;
  const header = ctx.req.headers['last-event-id'];
  const asked = typeof header === 'string' ? header : ctx.query['lastEventId'];
  const renewTicket = () => ({
    ticket: tokens.issueTicket(viewer),
    expiresInSeconds: tokens.ticketExpiresInSeconds,
  });
  return {
    viewer,
    address: limitSubjectOf(address),
    response: ctx.res,
    headers: stampOf(ctx),
    renewTicket: cameWithTicket ? renewTicket : undefined,
    lastEventId: typeof asked === 'string' ? asked : undefined,
  };
}
