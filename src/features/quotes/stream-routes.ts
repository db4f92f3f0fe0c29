import { requesterText } from '../../domain/requester.ts';
import type { Realtime } from '../../platform/realtime/realtime.ts';
import type { PriceStreams } from './price-streams.ts';
import { route, type Route } from '../../platform/http/route.ts';
import { portfolioStreamBody, priceStreamQuery } from './stream-schemas.ts';

interface StreamDeps {
  readonly realtime: Pick<Realtime, 'takeOver'>;
  readonly priceStreams: Pick<PriceStreams, 'open'>;
}

const tag = 'Streams';
const produces = 'text/event-stream';
const events = 'hello, price (a snapshot, then what changes), hb, ticket, end, drain, limit';

/** Live prices over Server-Sent Events. */
export function streamRoutes(deps: StreamDeps): Route[] {
  return [prices(deps), portfolio(deps)];
}

function prices({ realtime, priceStreams }: StreamDeps): Route {
  return route({
    method: 'GET',
    path: '/api/v1/crypto/stream/prices',
    access: 'user',
    scope: 'prices:read',
    takesTicket: true,
    tag,
    summary: 'Prices as they change (Server-Sent Events)',
    description:
      'Only observed prices are sent: an interval without a new one sends nothing, and a quote that nobody renews is sent once more as stale. A limit is told by the event limit, not by a status, because browsers do not come back after one.',
    query: priceStreamQuery,
    headers: {
      'Last-Event-ID': 'Id of the last event; prices go on with the newest, max_updates with its count',
    },
    answers: { 200: events, 204: 'max_updates have been sent: do not come back' },
    produces,
    handler: async (ctx, { query, viewer }) => {
      if (ctx.method === 'HEAD') {
        ctx.status = 200;
        ctx.set('Content-Type', produces);
        return;
      }
      const { coins, currency, interval, max_updates: maxUpdates } = query;
      const watch = {
        currency,
        assetIds: coins,
        intervalMs: interval * 1000,
        requester: requesterText(viewer),
      };
      await priceStreams.open({ ...realtime.takeOver(ctx), watch, asPortfolio: false, maxUpdates });
    },
  });
}

function portfolio({ realtime, priceStreams }: StreamDeps): Route {
  return route({
    method: 'POST',
    path: '/api/v1/crypto/stream/portfolio',
    access: 'user',
    scope: 'prices:read',
    tag,
    summary: 'The prices of some holdings, and their value, as they change (Server-Sent Events over POST)',
    description: 'With holdings, each event portfolio has the rows that have changed and the total of all.',
    body: portfolioStreamBody,
    answers: {
      200: events.replace('price', 'portfolio'),
      204: 'max_updates have been sent: do not come back',
    },
    produces,
    handler: async (ctx, { body, viewer }) => {
      const { coins = [], holdings, currency, interval, max_updates: maxUpdates } = body;
      const rows = holdings?.map(({ coin, quantity }) => ({ asset: coin, quantity }));
      const assetIds = rows === undefined ? coins : [...new Set(rows.map(({ asset }) => asset))];
      const watch = { currency, assetIds, intervalMs: interval * 1000, requester: requesterText(viewer) };
      const asked = { watch, holdings: rows, asPortfolio: true, maxUpdates };
      await priceStreams.open({ ...realtime.takeOver(ctx), ...asked });
    },
  });
}
