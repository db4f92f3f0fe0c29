import type { IncomingMessage, ServerResponse } from 'node:http';
import type { ParsedUrlQuery } from 'node:querystring';
import type Koa from 'koa';
import type { Principal } from '../../domain/principal.ts';
import type { LimitState } from '../../domain/rate-limit.ts';
import type { RouteCounter } from '../observability/route-counter.ts';

/** What the middleware knows of a request. */
export interface ApiState {
  /** Stands in the log, in `X-Request-Id` and in every problem. */
  requestId: string;
  /** Of the URL, without the query; undefined when the client sent no URL that has one. */
  path: string | undefined;
  /** Of the client, as far as trusted proxies tell; without the port. */
  address: string;
  /** Limits that this request was charged to. */
  limits: LimitState[];
  /** Whether the credential is a stream ticket. */
  cameWithTicket: boolean;
  /** Known once the credential was verified. */
  principal: Principal | undefined;
  /**
   * What came of admitting the request: whom it was admitted for (nobody for an open route), or a rejection with what the client
   * is to be told; undefined before that was tried.
   */
  admission: { readonly viewer: Principal | undefined | Promise<Principal | undefined> } | undefined;
  /** Where this request is counted; that of unmatched paths until a route is found. */
  counter: RouteCounter;
}

export type ApiContext = Koa.ParameterizedContext<ApiState>;

/** What answering from memory needs. The context of Koa is one, and so is a request that is answered before Koa. */
export interface HttpContext {
  readonly req: IncomingMessage;
  readonly res: ServerResponse;
  readonly state: ApiState;
  /** Of the path, by name. */
  readonly params?: Readonly<Record<string, string>>;
  /** What stands behind the `?` of the URL. */
  readonly querystring: string;
  readonly query: ParsedUrlQuery;
  /** Tells Koa to leave the answer alone. */
  respond?: boolean | undefined;
}
