import { z } from 'zod';
import type { CachedQuote, QuoteReading } from '../../domain/cached-quote.ts';
import { isQuoteCurrency, quoteCurrencies } from '../../domain/currencies.ts';
import type { Principal } from '../../domain/principal.ts';
import type { Route } from '../../platform/http/route.ts';
import { invalidParameter, missingParameter } from '../../platform/http/v3-errors.ts';
import { respondV3, createHeldResponses } from './responses.ts';
import { isWithoutPrice, reasonOf, unserved } from './passthrough.ts';
import { statsOf, priceText, updatedAt } from './market-rows.ts';
import { flag, precision, requiredList, selectedIds, selectionParams } from './params.ts';
import type { CoinGeckoApiDeps } from './types.ts';
import { v3Route } from './v3-route.ts';

/** `/ping` and `/simple/…`. */
export function simpleRoutes(deps: CoinGeckoApiDeps): Route[] {
  return [ping(), supportedCurrencies(), price(deps)];
}

function ping(): Route {
  return v3Route({
    path: '/ping',
    scope: 'any',
    summary: 'Check that the server responds and the API key is valid',
    handler: (ctx) => respondV3(ctx, { json: '{"gecko_says":"(V3) To the Moon!"}', cache: 'none' }),
  });
}

function supportedCurrencies(): Route {
  const json = JSON.stringify(quoteCurrencies);
  return v3Route({
    path: '/simple/supported_vs_currencies',
    summary: 'List the quote currencies',
    handler: (ctx) => respondV3(ctx, { json, cache: 'prices' }),
  });
}

const priceQuery = z.object({
  vs_currencies: requiredList('Comma-separated quote currencies'),
  ...selectionParams,
  include_market_cap: flag('Include market capitalisations'),
  include_24hr_vol: flag('Include 24-hour volumes'),
  include_24hr_change: flag('Include 24-hour changes (%)'),
  include_last_updated_at: flag('Include the time of each price (Unix seconds)'),
  precision: precision(),
});

/** Most pairs of asset and currency in one request; CoinGecko's limit of the URL allows few more. */
const maxPairs = 20_000;

function price(deps: CoinGeckoApiDeps): Route {
  const held = createHeldResponses(deps.quotes, deps.clock);
  return v3Route({
    path: '/simple/price',
    summary: 'Get prices of assets in currencies',
    description: 'Unknown assets and currencies are left out.',
    query: priceQuery,
    fastPath: (ctx) => held.answer(ctx),
    handler: async (ctx, { query, viewer }) => {
      const ids = selectedIds(query, deps.assets);
      if (ids === undefined) throw missingParameter('ids');
      const currencies = query.vs_currencies.filter(isQuoteCurrency);
      if (ids.length * currencies.length > maxPairs) throw invalidParameter('too many ids and currencies');
      const found = await readAll(deps, { ids, currencies, viewer });
      const { quotes, pending, isShort } = sumUp(found);
      if (quotes.length === 0 && pending.length > 0) throw await refusalOf(found, deps);
      const json = bodyOf(found, { ...query, ids, currencies });
      const now = deps.clock.now();
      const receivedAt = quotes.reduce((oldest, quote) => Math.min(oldest, quote.receivedAt), now);
      if (pending.length === 0 && quotes.length > 0 && found.every(isFresh)) {
        held.put(ctx, { json, quotes, isShort, receivedAt });
        return;
      }
      respondV3(ctx, {
        json,
        cache: 'prices',
        state: found.every(isFresh) ? 'fresh' : 'stale',
        ageMs: now - receivedAt,
        pending,
      });
    },
  });
}

/** What is known of the assets in one currency. */
interface Found {
  readonly currency: string;
  readonly readings: ReadonlyMap<string, QuoteReading>;
}

/** Without a known currency, quotes in US dollars show which of the assets exist. */
async function readAll(
  { quotes, config }: CoinGeckoApiDeps,
  {
    ids,
    currencies,
    viewer,
  }: { readonly ids: readonly string[]; readonly currencies: readonly string[]; readonly viewer: Principal },
): Promise<Found[]> {
  const requested = currencies.length === 0 ? ['usd'] : currencies;
  const common = { assetIds: ids, waitMs: config.READ_WAIT, requester: viewer };
  return await Promise.all(
    requested.map(async (currency) => ({
      currency,
      readings: await quotes.getMany({ ...common, currency }),
    })),
  );
}

function sumUp(found: readonly Found[]) {
  const quotes: CachedQuote[] = [];
  const pending = new Set<string>();
  let isShort = false;
  for (const { readings } of found) {
    for (const reading of readings.values()) {
      if (reading.quote !== undefined) quotes.push(reading.quote);
      else if (reading.state === 'not_found' || isWithoutPrice(reading)) isShort = true;
      else pending.add(reading.assetId);
    }
  }
  return { quotes, pending: [...pending], isShort };
}

function isFresh({ readings }: Found): boolean {
  for (const { state, quote } of readings.values())
    if (quote !== undefined && state !== 'fresh') return false;
  return true;
}

async function refusalOf(found: readonly Found[], { upstream }: CoinGeckoApiDeps): Promise<Error> {
  const unread = found.flatMap(({ readings }) => [...readings.values()].filter((each) => !isKnown(each)));
  return await unserved(reasonOf(unread), upstream, { kind: 'batch', readings: unread });
}

/** Whether the asset exists, with or without a price. */
function isKnown(reading: QuoteReading): boolean {
  return reading.quote !== undefined || isWithoutPrice(reading);
}

type Shown = Omit<z.output<typeof priceQuery>, 'ids'> &
  Readonly<Record<'ids' | 'currencies', readonly string[]>>;

function bodyOf(found: readonly Found[], shown: Shown): string {
  const rows: string[] = [];
  for (const id of shown.ids) {
    if (
      !found.some(({ readings }) =>
        isKnown(readings.get(id) ?? { assetId: id, state: 'pending', quote: undefined }),
      )
    )
      continue;
    rows.push(`${JSON.stringify(id)}:{${shown.currencies.length === 0 ? '' : rowOf(found, id, shown)}}`);
  }
  return `{${rows.join(',')}}`;
}

function rowOf(found: readonly Found[], id: string, shown: Shown): string {
  let row = '';
  let seenAt = 0;
  for (const { currency, readings } of found) {
    const quote = readings.get(id)?.quote;
    if (quote === undefined) continue;
    const figures = statsOf(quote);
    row += `,"${currency}":${priceText(figures.price, shown.precision)}`;
    if (shown.include_market_cap) row += `,"${currency}_market_cap":${String(figures.market_cap)}`;
    if (shown.include_24hr_vol) row += `,"${currency}_24h_vol":${String(figures.volume_24h)}`;
    if (shown.include_24hr_change) row += `,"${currency}_24h_change":${String(figures.change_percent_24h)}`;
    seenAt = Math.max(seenAt, updatedAt(quote));
  }
  if (shown.include_last_updated_at && seenAt > 0) row += `,"last_updated_at":${seenAt}`;
  return row.slice(1);
}

const minutesOfDay = 1_440;

/** `/key`: what the caller's key (or without one, its user) may do and has done this month. */
export function keyRoute({ access, config, clock }: CoinGeckoApiDeps): Route {
  const quotaOf = ({ keyId }: Principal): number | undefined =>
    keyId === undefined ? undefined : access.authenticator.dailyQuotaOf(keyId);
  return v3Route({
    path: '/key',
    scope: 'any',
    summary: "Get plan, limits and usage of the caller's key",
    description:
      'Requests of this month (UTC). Without a daily quota, the allowance is what the limit per minute permits.',
    handler: async (ctx, { viewer }) => {
      const perMinute = viewer.keyId === undefined ? config.RATE_LIMIT_USER : config.RATE_LIMIT_KEY;
      const month = monthOf(new Date(clock.now()));
      const { days, totals } = await access.usageReports.ofUser({
        userId: viewer.userId,
        from: month.from,
        to: month.to,
      });
      const own = days.filter(({ keyId }) => keyId === (viewer.keyId ?? null));
      const used = own.reduce((sum, { requests }) => sum + requests, 0);
      const credit = (quotaOf(viewer) ?? perMinute * minutesOfDay) * month.days;
      const json = JSON.stringify(keyResponse({ perMinute, credit, used, usedByAll: totals.requests }));
      respondV3(ctx, { json, cache: 'none' });
    },
  });
}

/** The body of `/key`: requests of the month, `usedByAll` with all keys of the user and without one. */
export function keyResponse({
  perMinute,
  credit,
  used,
  usedByAll,
}: Readonly<Record<'perMinute' | 'credit' | 'used' | 'usedByAll', number>>) {
  return {
    plan: 'Pricepool',
    rate_limit_request_per_minute: perMinute,
    monthly_call_credit: credit,
    current_total_monthly_calls: usedByAll,
    current_remaining_monthly_calls: Math.max(0, credit - used),
    api_key_rate_limit_request_per_minute: perMinute,
    api_key_monthly_call_credit: credit,
    api_key_current_total_monthly_calls: used,
  };
}

/** First and last day of a moment's month in UTC, and how many days it has. */
function monthOf(now: Date): { readonly from: string; readonly to: string; readonly days: number } {
  const [year, month] = [now.getUTCFullYear(), now.getUTCMonth()];
  const days = new Date(Date.UTC(year, month + 1, 0)).getUTCDate();
  const dayOf = (day: number): string => new Date(Date.UTC(year, month, day)).toISOString().slice(0, 10);
  return { from: dayOf(1), to: dayOf(days), days };
}
