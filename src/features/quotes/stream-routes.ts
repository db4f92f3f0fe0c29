import { requesterText } from '../../domain/requester.ts';
import type { Realtime } from '../../platform/realtime/realtime.ts';
import type { PriceStreams } from './price-streams.ts';
import { route, type Route } from '../../platform/http/route.ts';
import { z } from 'zod';
import { maxAssetsPerRequest } from '../../../jobs/registry.ts';
import { boundedArray, currency } from '../../platform/http/fields.ts';
import { longestIntervalSeconds, maxUpdates, streamFields } from '../../platform/realtime/stream-fields.ts';
import { assetIdField, type AssetIdReader } from '../assets/schemas.ts';
import { holdingRows } from './routes.ts';

/** Distinct asset ids; duplicates are watched once. */
const watched = (assets: AssetIdReader) =>
  boundedArray(assetIdField(assets), maxAssetsPerRequest).transform((ids) => [...new Set(ids)]);

/** Query of `GET /crypto/stream/prices`. `ticket` and `lastEventId` are read elsewhere. */
const priceStreamQuery = (assets: AssetIdReader) =>
  z.strictObject({
    coins: z
      .preprocess((text) => (typeof text === 'string' ? text.split(',') : text), watched(assets))
      .meta({ description: 'Comma-separated asset ids, at most 250', examples: ['bitcoin,ethereum'] }),
    currency,
    ...streamFields,
  });

const seconds = z.int('must be a whole number of seconds');

/** Body of `POST /crypto/stream/portfolio`: coins alone, or holdings with quantities. */
const portfolioStreamBody = (assets: AssetIdReader) =>
  z
    .strictObject({
      coins: watched(assets).optional(),
      holdings: holdingRows(assets).optional(),
      currency,
      interval: seconds
        .min(1, 'must be at least 1')
        .max(longestIntervalSeconds, 'must be at most 3600')
        .default(1),
      max_updates: z
        .int('must be a whole number')
        .min(1, 'must be at least 1')
        .max(maxUpdates, 'must be at most 1000000')
        .optional(),
    })
    .superRefine((body, ctx) => {
      if ((body.coins === undefined) === (body.holdings === undefined)) {
        ctx.addIssue({ code: 'custom', path: ['coins'], message: 'give either coins or holdings' });
      }
    });

interface StreamDeps {
  readonly assets: AssetIdReader;
  readonly realtime: Pick<Realtime, 'hijack'>;
  readonly prices: Pick<PriceStreams, 'open'>;
}

const tag = 'Streams';
const produces = 'text/event-stream';
const events =
  'The events hello, price (one for each coin, then one for each change), heartbeat, ticket (a new stream ticket), end, drain (the server restarts: reconnect) and limit (too many streams)';

/** Live prices over Server-Sent Events. */
export function streamRoutes(deps: StreamDeps): Route[] {
  return [priceStream(deps), portfolioStream(deps)];
}

function priceStream({ assets, realtime, prices }: StreamDeps): Route {
  return route({
    method: 'GET',
    path: '/api/v1/crypto/stream/prices',
    access: 'user',
    scope: 'prices:read',
    takesTicket: true,
    tag,
    summary: 'Stream prices as they change (Server-Sent Events)',
    description:
      'Sends a price only when there is a new one; a quote that is no longer refreshed is sent once more as stale. Too many streams are reported by the event limit instead of a status, because browsers do not reconnect after an error status.',
    query: priceStreamQuery(assets),
    headers: {
      'Last-Event-ID':
        'Id of the last event that you received: the stream continues with the newest prices, and max_updates from its count',
    },
    responses: { 200: events, 204: 'You have received max_updates updates; do not reconnect' },
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
      await prices.open({ ...realtime.hijack(ctx), watch, asPortfolio: false, maxUpdates });
    },
  });
}

function portfolioStream({ assets, realtime, prices }: StreamDeps): Route {
  return route({
    method: 'POST',
    path: '/api/v1/crypto/stream/portfolio',
    access: 'user',
    scope: 'prices:read',
    tag,
    summary: 'Stream the prices of holdings and their value (Server-Sent Events over POST)',
    description:
      'Give either coins or holdings. With holdings, each event portfolio has the rows that have changed, and the total of all rows.',
    body: portfolioStreamBody(assets),
    responses: {
      200: events.replace('price (one for each coin', 'portfolio (one with everything'),
      204: 'You have received max_updates updates; do not reconnect',
    },
    produces,
    handler: async (ctx, { body, viewer }) => {
      const { coins = [], holdings, currency, interval, max_updates: maxUpdates } = body;
      const rows = holdings?.map(({ coin, quantity }) => ({ asset: coin, quantity }));
      const assetIds = rows === undefined ? coins : [...new Set(rows.map(({ asset }) => asset))];
      const watch = { currency, assetIds, intervalMs: interval * 1000, requester: requesterText(viewer) };
      const requested = { watch, holdings: rows, asPortfolio: true, maxUpdates };
      await prices.open({ ...realtime.hijack(ctx), ...requested });
    },
  });
}
