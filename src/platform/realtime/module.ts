import { AppError } from '../../domain/errors.ts';
import type { ApiModule } from '../http/api-module.ts';
import { route } from '../http/route.ts';
import type { Realtime } from './realtime.ts';
import { socketPath } from './ws-messages.ts';

/** Metrics of streams, and a route that describes the WebSocket: actual upgrades do not arrive here. */
export function createRealtimeModule(
  _platform: unknown,
  { realtime: { registry } }: { readonly realtime: Pick<Realtime, 'registry'> },
): ApiModule {
  const socket = route({
    method: 'GET',
    path: socketPath,
    access: 'user',
    scope: 'prices:read',
    takesTicket: true,
    tag: 'Streams',
    summary: 'Open a WebSocket for prices and jobs',
    description:
      'Send JSON messages with an action (subscribe, unsubscribe, ping or ticket) and, if you like, an id that the reply repeats; subscribe names coins or jobs. Browsers, which cannot set headers, send the access token or API key as a second subprotocol: pricepool, bearer.<token>.',
    responses: {
      101: 'The connection is a WebSocket',
      426: 'The request does not ask for an upgrade to websocket',
    },
    handler: (ctx) => {
      ctx.set('Upgrade', 'websocket');
      throw new AppError('This path is a WebSocket: open it with a WebSocket client', {
        code: 'upgrade_required',
        status: 426,
      });
    },
  });
  return {
    routes: [socket],
    metrics: (metrics) => {
      metrics.gauge('streams_open', 'Open client streams of this process.', { read: () => registry.size });
      metrics.gauge('stream_closed_total', 'Client streams of this process that have ended.', {
        label: 'reason',
        read: () => registry.ended(),
      });
    },
  };
}
