import type { AlertRequest, AlertUpdateRequest, AlertOperations } from './alert-service.ts';
import type { AlertStreams } from './alert-streams.ts';
import type { Principal } from '../../domain/principal.ts';
import {
  shownAlert,
  type Alert,
  alertDirections,
  alertKinds,
  alertRepeats,
  alertStates,
  alertWindows,
} from './alert.ts';
import type { ApiContext } from '../../platform/http/context.ts';
import {
  expectedVersion,
  ifMatchResponses,
  ifMatchHeader,
  versionTagOf,
} from '../../platform/http/if-match.ts';
import { allowed, charge } from '../../platform/http/admission.ts';
import { answer } from '../../platform/http/envelope.ts';
import { pageOf } from '../../platform/http/paging.ts';
import { route, type Route } from '../../platform/http/route.ts';
import type { Realtime } from '../../platform/realtime/realtime.ts';
import type { AccountService } from '../accounts/account-service.ts';
import { z } from 'zod';
import { assetIdField, type AssetIdReader } from '../assets/schemas.ts';
import { eventStreamFields } from '../../platform/realtime/stream-fields.ts';
import { textOfPrice } from './crossing.ts';
import { formatAmount, parseAmount } from '../portfolios/ledger/amount.ts';
import { holdsItsDigits } from '../../domain/quantity.ts';
import { NotFoundError } from '../../domain/errors.ts';
import { currency } from '../../platform/http/fields.ts';
import { paging } from '../portfolios/schemas.ts';

const decimalRule = 'must be a decimal with at most 20 digits before and 18 after the point';
const digitsRule = 'has more digits than a JSON number can hold; send it as a string';

/** A decimal with a sign, as canonical text. */
const decimal = z.union([z.string(), z.number()], { error: decimalRule }).transform((given, ctx) => {
  const amount = parseAmount(typeof given === 'number' ? textOfPrice(given) : given.trim());
  if (amount === undefined) ctx.addIssue({ code: 'custom', message: decimalRule });
  else if (!holdsItsDigits(given)) ctx.addIssue({ code: 'custom', message: digitsRule });
  return amount === undefined ? '' : formatAmount(amount);
});

const threshold = decimal.meta({
  description: 'For price and portfolio_value: an amount in the currency. For change: per cent, such as -5',
  examples: ['100000'],
});

const direction = z.enum(alertDirections, `must be one of ${alertDirections.join(', ')}`).meta({
  description: 'Whether it fires when the value rises to the threshold (above) or falls to it (below)',
});

const repeat = z.enum(alertRepeats, `must be one of ${alertRepeats.join(', ')}`).meta({
  description: 'once: it fires once, then waits until it is rearmed; every: it fires at every crossing',
});

const window = z
  .literal([...alertWindows], { error: `must be one of ${alertWindows.join(', ')} seconds` })
  .meta({
    description: 'Only for change, and required there: the seconds over which the change is measured',
  });

const hysteresis = z
  .strictObject({ percent: decimal.optional(), absolute: decimal.optional() })
  .refine(({ percent, absolute }) => (percent === undefined) !== (absolute === undefined), {
    message: 'must have either percent or absolute',
  })
  .meta({
    description:
      'How far the value must move back before the alert can fire again: either percent (of the threshold) or absolute (in its unit); default 1 per cent',
  });

const url = z
  .string()
  .max(2_048, 'must have at most 2048 characters')
  .refine((text) => URL.canParse(text), 'must be an absolute URL')
  .meta({
    description: 'URL that receives the webhook alert.fired; absent: none',
    examples: ['https://example.com/hooks/prices'],
  });

const note = z
  .string()
  .max(500, 'must have at most 500 characters')
  .regex(/^[^\p{Cc}\p{Cf}\p{Cs}]*$/u, 'must not contain control characters')
  .meta({ description: 'A note to yourself, included in every firing' });

const fireIfTrue = z.boolean().meta({
  description:
    'true: fire at the first price if the condition already holds; false: wait for the next crossing',
});

const portfolioId = z.uuid('must be a UUID').transform((id) => id.toLowerCase());

/** Body of `POST /alerts`. */
const newAlertBody = (assets: AssetIdReader) =>
  z
    .strictObject({
      kind: z.enum(alertKinds, `must be one of ${alertKinds.join(', ')}`).meta({
        description:
          'price: the price of a coin; change: how much it changes within a window; portfolio_value: the value of a portfolio',
      }),
      coin: assetIdField(assets)
        .optional()
        .meta({
          description: 'Asset id, such as bitcoin; required for price and change',
          examples: ['bitcoin'],
        }),
      portfolio_id: portfolioId
        .optional()
        .meta({ description: 'Id of the portfolio; required for portfolio_value' }),
      currency: currency.unwrap().optional().meta({
        description: 'Quote currency, such as usd (the default) or eur; not allowed for portfolio_value',
      }),
      direction,
      threshold,
      window: window.optional(),
      hysteresis: hysteresis.optional(),
      repeat: repeat.default('once'),
      fire_if_true: fireIfTrue.default(false),
      url: url.nullish(),
      note: note.nullish(),
      enabled: z.boolean().default(true).meta({ description: 'false: it never fires' }),
    })
    .superRefine((body, ctx) => {
      const problem = (field: string, message: string): void =>
        ctx.addIssue({ code: 'custom', path: [field], message });
      const isValue = body.kind === 'portfolio_value';
      if (isValue && body.portfolio_id === undefined) problem('portfolio_id', 'is required');
      if (isValue && body.coin !== undefined)
        problem('coin', 'is not allowed for alerts of kind portfolio_value');
      if (isValue && body.currency !== undefined)
        problem('currency', 'is not allowed: the currency of the portfolio is used');
      if (!isValue && body.coin === undefined) problem('coin', 'is required');
      if (!isValue && body.portfolio_id !== undefined)
        problem('portfolio_id', 'is only for alerts of kind portfolio_value');
    });

/** Body of `PATCH /alerts/:id`: only known fields, and at least one change. The watched value cannot change. */
const alertChangesBody = z
  .strictObject({
    direction: direction.optional(),
    threshold: threshold.optional(),
    window: window.optional(),
    hysteresis: hysteresis.optional(),
    repeat: repeat.optional(),
    fire_if_true: fireIfTrue.optional(),
    url: url.nullish(),
    note: note.nullish(),
    enabled: z.boolean().optional().meta({ description: 'false: it never fires' }),
  })
  .refine(
    (body) => Object.values(body).some((value) => value !== undefined),
    'must change at least one of direction, threshold, window, hysteresis, repeat, fire_if_true, url, note and enabled',
  );

/** Query of `GET /alerts`. */
const alertsQuery = (assets: AssetIdReader) =>
  z.strictObject({
    ...paging,
    kind: z.enum(alertKinds).optional().meta({ description: 'Only alerts of this kind' }),
    state: z.enum(alertStates).optional().meta({ description: 'Only alerts in this state' }),
    coin: assetIdField(assets)
      .optional()
      .meta({ description: 'Only alerts on this coin', examples: ['bitcoin'] }),
    portfolio_id: portfolioId.optional().meta({ description: 'Only alerts on the value of this portfolio' }),
  });

/** Query of `GET /alerts/firings`. */
const firingsQuery = z.strictObject({
  ...paging,
  alert_id: z
    .uuid('must be a UUID')
    .transform((id) => id.toLowerCase())
    .optional()
    .meta({ description: 'Only firings of this alert' }),
});

/** Query of `GET /alerts/stream`. `ticket` and `lastEventId` are read elsewhere. */
const alertStreamQuery = z.strictObject(eventStreamFields);

/** Path of an alert. */
const alertPath = z.object({ id: z.string().meta({ description: 'Id of the alert (UUID)' }) });

const uuid = z.uuid();

/**
 * The id in an alert's path.
 * @throws {NotFoundError} it is not a UUID, so there is no such alert.
 */
function alertIdOf({ id }: z.output<typeof alertPath>): string {
  if (!uuid.safeParse(id).success) throw new NotFoundError('Alert not found', 'alert_not_found');
  return id.toLowerCase();
}

interface AlertDeps {
  readonly assets: AssetIdReader;
  readonly alerts: AlertOperations & { readonly streams: Pick<AlertStreams, 'open'> };
  readonly realtime: Pick<Realtime, 'hijack'>;
  readonly access: Pick<AccountService, 'allowances'>;
}

const tag = 'Alerts';
const path = '/api/v1/alerts';
const missing = 'Alert not found';
const unavailable = 'Database unavailable; see Retry-After';
const changing = 'The alert was modified at the same time; retry';
/** Rearmed alerts may fire at once, and each firing may send a webhook. */
const resetPolicy = { name: 'alert-begins', limit: 600, windowSeconds: 3_600 };
const defaultHysteresis = { hysteresis: '1', hysteresisUnit: 'percent' } as const;

/** Routes of the user's alerts: create, list, change and delete, and their firings. */
export function alertRoutes(deps: AlertDeps): Route[] {
  return [
    make(deps),
    list(deps),
    firings(deps),
    follow(deps),
    read(deps),
    change(deps, 'PATCH'),
    change(deps, 'PUT'),
    remove(deps),
    rearm(deps),
  ];
}

function make({ assets, alerts, access: { allowances } }: AlertDeps): Route {
  return route({
    method: 'POST',
    path,
    access: 'user',
    scope: 'alerts:write',
    tag,
    summary: 'Create an alert',
    description:
      'It fires when the value reaches the threshold from the other side. If the condition already holds, it waits for the next crossing, unless fire_if_true is set. An API key also needs portfolio:read for an alert on the value of a portfolio.',
    body: newAlertBody(assets),
    responses: {
      201: 'The alert; Location has its URL',
      404: 'Portfolio not found',
      409: 'You have reached the limit of alerts',
      503: unavailable,
    },
    handler: async (ctx, { viewer, body }) => {
      confirmReader(body, viewer);
      if (body.fire_if_true) await charge(ctx, () => allowances.take(resetPolicy, viewer.userId));
      const alert = await alerts.make(viewer, alertRequestOf(body));
      ctx.set('Location', `${path}/${alert.id}`);
      respondAlert(ctx, alert, { status: 201, message: 'Alert created' });
    },
  });
}

function list({ assets, alerts }: AlertDeps): Route {
  return route({
    method: 'GET',
    path,
    access: 'user',
    scope: 'alerts:read',
    tag,
    summary: 'List your alerts, newest first',
    query: alertsQuery(assets),
    responses: { 200: 'A page of alerts', 503: unavailable },
    handler: async (ctx, { viewer: { userId }, query }) => {
      const { page, limit, kind, state, coin: assetId, portfolio_id: portfolioId } = query;
      const filter = { userId, kind, state, assetId, portfolioId, offset: (page - 1) * limit, limit };
      const { alerts: found, total } = await alerts.page(filter);
      answer(ctx, { message: 'Alerts', data: pageOf(found.map(alertJson), { total, page, limit }) });
    },
  });
}

function firings({ alerts }: AlertDeps): Route {
  return route({
    method: 'GET',
    path: `${path}/firings`,
    access: 'user',
    scope: 'alerts:read',
    tag,
    summary: 'List firings of the last 90 days, newest first',
    query: firingsQuery,
    responses: { 200: 'A page of firings', 503: unavailable },
    handler: async (ctx, { viewer: { userId }, query: { page, limit, alert_id: alertId } }) => {
      const found = await alerts.firings({ userId, alertId, offset: (page - 1) * limit, limit });
      const data = found.firings.map(({ body }) => JSON.parse(body) as unknown);
      answer(ctx, { message: 'Firings', data: pageOf(data, { total: found.total, page, limit }) });
    },
  });
}

function follow({ alerts: { streams }, realtime }: AlertDeps): Route {
  return route({
    method: 'GET',
    path: `${path}/stream`,
    access: 'user',
    scope: 'alerts:read',
    takesTicket: true,
    tag,
    summary: 'Stream your alerts as they fire (Server-Sent Events)',
    query: alertStreamQuery,
    headers: {
      'Last-Event-ID': 'Id of the last event that you received; the stream continues with later firings',
    },
    responses: {
      200: 'The events hello, alert (one firing), reset (firings were missed: list them), heartbeat, ticket (a new stream ticket), end, drain (the server restarts: reconnect) and limit (too many streams)',
      503: unavailable,
    },
    produces: 'text/event-stream',
    handler: async (ctx, { viewer: { userId } }) => {
      if (ctx.method === 'HEAD') {
        ctx.status = 200;
        ctx.set('Content-Type', 'text/event-stream');
        return;
      }
      await streams.open(userId, () => realtime.hijack(ctx));
    },
  });
}

function read({ alerts }: AlertDeps): Route {
  return route({
    method: 'GET',
    path: `${path}/:id`,
    access: 'user',
    scope: 'alerts:read',
    tag,
    summary: 'Get an alert',
    params: alertPath,
    responses: { 200: 'The alert', 404: missing, 503: unavailable },
    handler: async (ctx, { params, viewer }) => {
      respondAlert(ctx, await alerts.get(alertIdOf(params), viewer), { message: 'Alert' });
    },
  });
}

/** `PUT` is kept for old clients and behaves as `PATCH`. */
function change({ alerts, access: { allowances } }: AlertDeps, method: 'PATCH' | 'PUT'): Route {
  return route({
    method,
    deprecated: method === 'PUT',
    path: `${path}/:id`,
    access: 'user',
    scope: 'alerts:write',
    tag,
    summary: 'Change an alert',
    description:
      'Omitted fields keep their value. Changing threshold, direction or window starts the alert afresh, as if it were new; enabled: false keeps it from firing.',
    params: alertPath,
    body: alertChangesBody,
    headers: ifMatchHeader,
    responses: {
      200: 'The updated alert',
      404: missing,
      409: changing,
      ...ifMatchResponses,
      503: unavailable,
    },
    handler: async (ctx, { params, viewer, body }) => {
      const which = { id: alertIdOf(params), viewer, expected: expectedVersion(ctx) };
      await confirmReaderOf(alerts, which.id, viewer);
      if (mayReset(body)) await charge(ctx, () => allowances.take(resetPolicy, viewer.userId));
      const alert = await alerts.change({ ...which, changes: changesOf(body) });
      respondAlert(ctx, alert, { message: 'Alert changed' });
    },
  });
}

function remove({ alerts }: AlertDeps): Route {
  return route({
    method: 'DELETE',
    path: `${path}/:id`,
    access: 'user',
    scope: 'alerts:write',
    tag,
    summary: 'Delete an alert',
    description: 'Its firings can still be listed.',
    params: alertPath,
    headers: ifMatchHeader,
    responses: { 200: 'Deleted', 404: missing, ...ifMatchResponses, 503: unavailable },
    handler: async (ctx, { params, viewer }) => {
      const id = alertIdOf(params);
      await alerts.remove({ id, viewer, expected: expectedVersion(ctx) });
      answer(ctx, { message: 'Alert deleted', data: { id } });
    },
  });
}

function rearm({ alerts, access: { allowances } }: AlertDeps): Route {
  return route({
    method: 'POST',
    path: `${path}/:id/rearm`,
    access: 'user',
    scope: 'alerts:write',
    tag,
    summary: 'Rearm an alert: let it fire again, even if it has fired or is disabled',
    params: alertPath,
    responses: { 200: 'The updated alert', 404: missing, 409: changing, 503: unavailable },
    handler: async (ctx, { params, viewer }) => {
      const id = alertIdOf(params);
      await confirmReaderOf(alerts, id, viewer);
      await charge(ctx, () => allowances.take(resetPolicy, viewer.userId));
      respondAlert(ctx, await alerts.rearm(id, viewer), { message: 'Alert rearmed' });
    },
  });
}

/** An alert on the value of a portfolio reveals that value. @throws {ForbiddenError} the key may not read portfolios. */
function confirmReader({ kind }: Pick<Alert, 'kind'>, viewer: Principal): void {
  if (kind === 'portfolio_value') allowed(viewer, { access: 'user', scope: 'portfolio:read' });
}

async function confirmReaderOf(
  alerts: Pick<AlertDeps['alerts'], 'get'>,
  id: string,
  viewer: Principal,
): Promise<void> {
  if (viewer.scopes?.includes('portfolio:read') === false)
    confirmReader(await alerts.get(id, viewer), viewer);
}

function mayReset({ threshold, direction, window, enabled }: z.output<typeof alertChangesBody>): boolean {
  return [threshold, direction, window].some((each) => each !== undefined) || enabled === true;
}

function alertRequestOf(body: z.output<ReturnType<typeof newAlertBody>>): AlertRequest {
  const { kind, direction, threshold, repeat, url, note, hysteresis } = body;
  return {
    kind,
    direction,
    threshold,
    repeat,
    assetId: body.coin ?? null,
    portfolioId: body.portfolio_id ?? null,
    currency: body.currency ?? null,
    windowSeconds: body.window ?? null,
    ...(hysteresis === undefined ? defaultHysteresis : hysteresisOf(hysteresis)),
    fireIfTrue: body.fire_if_true,
    url: url ?? null,
    note: note ?? null,
    isEnabled: body.enabled,
  };
}

function changesOf(body: z.output<typeof alertChangesBody>): AlertUpdateRequest['changes'] {
  const { direction, threshold, repeat, url, note, hysteresis, window, enabled } = body;
  return {
    ...(direction === undefined ? {} : { direction }),
    ...(threshold === undefined ? {} : { threshold }),
    ...(window === undefined ? {} : { windowSeconds: window }),
    ...(hysteresis === undefined ? {} : hysteresisOf(hysteresis)),
    ...(repeat === undefined ? {} : { repeat }),
    ...(body.fire_if_true === undefined ? {} : { fireIfTrue: body.fire_if_true }),
    ...(url === undefined ? {} : { url }),
    ...(note === undefined ? {} : { note }),
    isEnabled: enabled,
  };
}

function hysteresisOf({
  percent,
  absolute,
}: {
  percent?: string | undefined;
  absolute?: string | undefined;
}) {
  return absolute === undefined
    ? ({ hysteresis: percent ?? '1', hysteresisUnit: 'percent' } as const)
    : ({ hysteresis: absolute, hysteresisUnit: 'absolute' } as const);
}

function alertJson(alert: Alert): object {
  return { ...shownAlert(alert), url: alert.url };
}

function respondAlert(
  ctx: ApiContext,
  alert: Alert,
  { status = 200, message }: { readonly status?: number; readonly message: string },
): void {
  ctx.set('ETag', versionTagOf(alert));
  ctx.set('Cache-Control', 'private, no-cache');
  answer(ctx, { status, message, data: alertJson(alert) });
}
