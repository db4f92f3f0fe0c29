import type Koa from 'koa';
import type { Principal } from '../auth/principal.ts';
import type { LimitState } from '../lib/rate-limit.ts';
import type { RouteTally } from '../lib/tally.ts';

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
  /** Where this request is counted; that of unmatched paths until a route is found. */
  tally: RouteTally;
}

export type ApiContext = Koa.ParameterizedContext<ApiState>;
