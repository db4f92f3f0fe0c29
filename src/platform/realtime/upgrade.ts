/**
 * Turns an HTTP request into a WebSocket. Everything is decided before the 101: a refused client gets the same error as from
 * any route, over plain HTTP. Its credential may be in a header, in the query (a ticket), or among the subprotocols, the only
 * ones that a browser lets a page set.
 */
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { WebSocketServer, type ServerOptions } from 'ws';
import type { Principal } from '../../domain/principal.ts';
import { createAccessLog } from '../observability/access-log.ts';
import { AppError, ForbiddenError, NotFoundError, UnauthenticatedError } from '../../domain/errors.ts';
import { limitSubjectOf } from '../http/network.ts';
import type { RouteCounter } from '../observability/route-counter.ts';
import { maxMessageBytes, socketPath } from './ws-messages.ts';
import type { AccessRule } from '../http/access-rule.ts';
import { createClientAddress } from '../http/client-address.ts';
import type { OnUpgrade } from './upgrade-ignored.ts';
import type { Admit, Entrant } from '../http/admission.ts';
import { createOriginCheck } from '../http/headers.ts';
import { createRequestIds } from '../http/request-id.ts';
import { validate } from '../http/validate.ts';
import { limitField, policyField } from '../http/limit-headers.ts';
import { severityOf, toProblem } from '../http/problem.ts';
import { refuseOn } from '../http/refuse-connection.ts';
import type { Platform } from '../platform.ts';
import type { Metrics } from '../observability/metrics-registry.ts';
import type { Realtime } from './realtime.ts';
import { socketQuery } from './stream-fields.ts';

const rule: AccessRule = {
  access: 'user',
  scope: 'prices:read',
  takesTicket: true,
  takesCoinGeckoKey: false,
  unlimited: false,
  allowance: undefined,
};
/** The subprotocol that is chosen where it is offered, so that no token is sent back. */
const ownProtocol = 'pricepool';
const tokenProtocol = 'bearer.';
/** A client that does not answer the close has this long (ms) before it is cut; a drain waits for it. */
const closeTimeoutMs = 2_000;
const clientGone = 499;

/** Pieces that a message may come in: each costs as much as a message, and only whole messages are counted. */
const maxFragments = 64;

const options: ServerOptions & { readonly closeTimeout: number; readonly maxFragments: number } = {
  noServer: true,
  // Compressed frames could not be shared, and every compressor holds memory of its own.
  perMessageDeflate: false,
  clientTracking: false,
  maxPayload: maxMessageBytes,
  maxFragments: maxFragments,
  closeTimeout: closeTimeoutMs,
  handleProtocols: chooseProtocol,
};

/** One request to become a WebSocket. */
interface Upgrade extends Entrant {
  readonly request: IncomingMessage;
  readonly socket: Duplex;
  readonly head: Buffer;
  readonly requestId: string;
  /** Without the query, which may hold a ticket. */
  readonly path: string;
  readonly startedAt: number;
}

interface UpgradeDeps extends Pick<Platform, 'config' | 'log'> {
  readonly metrics: Metrics;
  readonly admit: Admit;
  readonly realtime: Pick<Realtime, 'openSocket' | 'issueTicket'>;
}

/** Builds the handler of upgrades. */
export function createUpgrade(deps: UpgradeDeps): OnUpgrade {
  const { config, log, metrics } = deps;
  const addressOf = createClientAddress({ trustedProxies: config.TRUSTED_PROXIES });
  const requestIds = createRequestIds();
  const access = createAccessLog(log);
  const known = metrics.httpRoute('UPGRADE', socketPath);
  const unmatched = metrics.httpRoute('UPGRADE', 'unmatched');
  const handler = new UpgradeHandler(deps);

  function note(upgrade: Upgrade, counter: RouteCounter, status: number): void {
    const { requestId, path, request, startedAt, state } = upgrade;
    const ms = performance.now() - startedAt;
    counter.add(status, ms / 1000);
    const { method = '' } = request;
    const userId = state.principal?.userId;
    access({ requestId, method, path, route: counter.route, status, at: Date.now(), ms, userId });
  }

  function refuse(upgrade: Upgrade, error: unknown): number {
    const problem = toProblem(error);
    const { requestId, path, socket } = upgrade;
    if (severityOf(error, problem) === 'error')
      log.error({ err: error, req: requestId, path }, 'a request failed');
    refuseOn(socket, { problem, requestId, headers: headersOf(upgrade, problem) });
    return problem.status;
  }

  return (request, socket, head) => {
    // Until the library listens: a connection that breaks while its client is looked up is no fault.
    socket.on('error', () => socket.destroy());
    const upgrade = toUpgrade({ request, socket, head }, requestIds, addressOf);
    const counter = upgrade.path === socketPath ? known : unmatched;
    handler
      .open(upgrade)
      .catch((error: unknown) => refuse(upgrade, error))
      .then((status) => note(upgrade, counter, status))
      .catch((error: unknown) =>
        log.error({ err: error }, 'a WebSocket connection could not be opened: unexpected error'),
      );
  };
}

/** Looks at upgrades and opens sockets. */
class UpgradeHandler {
  readonly #deps: UpgradeDeps;
  readonly #isAllowedOrigin: (origin: string) => boolean;
  readonly #library = new WebSocketServer(options);
  /** Told what the library found wrong with the handshake. */
  readonly #onBadHandshake = new WeakMap<IncomingMessage, (error: Error) => void>();

  constructor(deps: UpgradeDeps) {
    this.#deps = deps;
    this.#isAllowedOrigin = createOriginCheck(deps.config);
    this.#library.on('wsClientError', (error, _socket, request) =>
      this.#onBadHandshake.get(request)?.(error),
    );
  }

  /** The status of the answer; rejects with what the client is to be told. */
  async open(upgrade: Upgrade): Promise<number> {
    if (upgrade.path !== socketPath) throw new NotFoundError('Path not found');
    if (upgrade.request.httpVersion !== '1.1') throw badHandshake('A WebSocket needs HTTP/1.1');
    this.#refuseStrangers(upgrade.request);
    const viewer = await this.#deps.admit(upgrade, rule);
    if (viewer === undefined) throw new UnauthenticatedError();
    validate([{ schema: socketQuery, given: upgrade.query, prefix: 'query.' }]);
    const { socket } = upgrade;
    if (!socket.readable || !socket.writable) {
      socket.destroy();
      return clientGone;
    }
    this.#complete(upgrade, viewer);
    return 101;
  }

  /**
   * Nothing here is done on the word of a cookie, so that a page of another site could do nothing in the name of its visitor.
   * It is refused all the same, because for every other request CORS keeps such pages out.
   */
  #refuseStrangers({ headers: { origin, host } }: IncomingMessage): void {
    if (origin === undefined || this.#isAllowedOrigin(origin)) return;
    if (host !== undefined && URL.canParse(origin) && new URL(origin).host === host.toLowerCase()) return;
    throw new ForbiddenError('Pages of this origin may not connect', 'origin_not_allowed');
  }

  /** @throws {AppError} the handshake is none. */
  #complete({ request, socket, head, state }: Upgrade, viewer: Principal): void {
    const { realtime } = this.#deps;
    let fault: Error | undefined;
    this.#onBadHandshake.set(request, (error) => (fault = error));
    this.#library.handleUpgrade(request, socket, head, (ws) => {
      realtime.openSocket({
        viewer,
        address: limitSubjectOf(state.address),
        ws,
        socket,
        renewTicket: state.cameWithTicket ? () => realtime.issueTicket(viewer) : undefined,
      });
    });
    if (fault !== undefined) throw badHandshake(fault.message);
  }
}

function badHandshake(message: string): AppError {
  return new AppError(message, { code: 'bad_handshake', status: 400 });
}

function toUpgrade(
  { request, socket, head }: Pick<Upgrade, 'request' | 'socket' | 'head'>,
  requestIds: (given: string | string[] | undefined) => string,
  addressOf: (request: IncomingMessage) => string,
): Upgrade {
  const { url = '', headers } = request;
  const [path = '', query = ''] = url.split('?', 2);
  return {
    request,
    socket,
    head,
    requestId: requestIds(headers['x-request-id']),
    path,
    startedAt: performance.now(),
    req: { headers: { ...headers, ...bearerOfProtocols(headers) } },
    query: Object.fromEntries(new URLSearchParams(query)),
    state: { address: addressOf(request), limits: [], cameWithTicket: false, principal: undefined },
  };
}

/** A token among the subprotocols, as the header that it stands for; a header that the client did send comes first. */
function bearerOfProtocols(headers: IncomingMessage['headers']): { readonly authorization?: string } {
  if (headers.authorization !== undefined || headers['x-api-key'] !== undefined) return {};
  const offered = (headers['sec-websocket-protocol'] ?? '').split(',').map((each) => each.trim());
  const token = offered.find((each) => each.startsWith(tokenProtocol));
  return token === undefined ? {} : { authorization: `Bearer ${token.slice(tokenProtocol.length)}` };
}

/** Browsers give up on a server that chooses none of what they offer. */
function chooseProtocol(offered: ReadonlySet<string>): string | false {
  if (offered.has(ownProtocol)) return ownProtocol;
  return [...offered].find((each) => each.startsWith(tokenProtocol)) ?? false;
}

function headersOf(
  { state: { limits } }: Upgrade,
  { status, code, retryAfterSeconds }: ReturnType<typeof toProblem>,
): [string, string][] {
  const headers: [string, string][] = [];
  if (status === 401) headers.push(['WWW-Authenticate', 'Bearer']);
  if (code === 'bad_handshake') headers.push(['Sec-WebSocket-Version', '13']);
  if (retryAfterSeconds !== undefined) headers.push(['Retry-After', String(Math.ceil(retryAfterSeconds))]);
  if (limits.length > 0)
    headers.push(['RateLimit-Policy', policyField(limits)], ['RateLimit', limitField(limits)]);
  return headers;
}
