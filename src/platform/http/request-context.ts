import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Config } from '../config/load-config.ts';
import { createAccessLog } from '../observability/access-log.ts';
import type { Logger } from '../observability/logger.ts';
import type { Metrics } from '../observability/metrics-registry.ts';
import { createClientAddress } from './client-address.ts';
import type { ApiState } from './context.ts';
import { createRequestIds } from './request-id.ts';

/** What every request gets at its start and end: its id and its client's address, its count and its line in the access log. */
export interface RequestContext {
  /** Begins with a request, or goes on with one that was handed on. Its end is counted and logged. */
  receive(req: IncomingMessage, res: ServerResponse, path: string | undefined): ApiState;
  /** Keeps what is known of a request for the next handler that receives it. */
  passOn(req: IncomingMessage, state: ApiState): void;
}

/** Status in the log and the metrics of a request whose client went away before the answer was complete. */
const clientGone = 499;
/** Path in the log of a request that has none. */
export const noPath = '(none)';

/** Builds the {@link RequestContext} of an application. */
export function createRequestContext({
  config,
  log,
  metrics,
}: {
  readonly config: Pick<Config, 'TRUSTED_PROXIES'>;
  readonly log: Logger;
  readonly metrics: Metrics;
}): RequestContext {
  const addressOf = createClientAddress({ trustedProxies: config.TRUSTED_PROXIES });
  const requestIds = createRequestIds();
  const unmatched = metrics.httpRoute('ANY', 'unmatched');
  const access = createAccessLog(log);
  const passedOn = new WeakMap<IncomingMessage, ApiState>();

  function finish(
    req: IncomingMessage,
    res: ServerResponse,
    {
      state,
      startedAt,
    }: {
      readonly state: ApiState;
      /** By `performance.now()`. */
      readonly startedAt: number;
    },
  ): void {
    const { counter, requestId, path = noPath, principal } = state;
    const status = res.writableFinished ? res.statusCode : clientGone;
    const ms = performance.now() - startedAt;
    counter.add(status, ms / 1000);
    const { method = '' } = req;
    const userId = principal?.userId;
    access({ requestId, method, path, route: counter.route, status, at: Date.now(), ms, userId });
  }

  return {
    receive(req, res, path) {
      const known = passedOn.get(req);
      if (known !== undefined) return known;
      const startedAt = performance.now();
      const state: ApiState = {
        requestId: requestIds(req.headers['x-request-id']),
        path,
        address: addressOf(req),
        limits: [],
        cameWithTicket: false,
        principal: undefined,
        admission: undefined,
        counter: unmatched,
      };
      res.on('close', () => finish(req, res, { state, startedAt }));
      return state;
    },
    passOn: (req, state) => void passedOn.set(req, state),
  };
}
