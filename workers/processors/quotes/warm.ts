/**
 * `quotes.warm`: keeps fresh what was read in the last minutes, the hottest first. It makes no call: it wants assets at the
 * urgency `warming`, or kicks a refresh of a page of the ranking, for as many calls as the budget will give before the next
 * look. The budget decides at each call. What it has no call for fills up the batches of more urgent calls. When users take
 * every call, the hottest take their turn among them, as if one more user had asked: else what thousands read would be
 * renewed no sooner than what one reads. When nobody reads, there is nothing to want.
 */
import type { QuoteMirror } from '../../../src/features/quotes/local-cache.ts';
import type { QuoteStore } from '../../../src/features/quotes/quote-store.ts';
import type { Demand } from '../../../src/features/quotes/demand/demand.ts';
import { pageOf, type HotItem, type Interest } from '../../../src/features/quotes/demand/interest.ts';
import { planWarming, type KnownPage, type WarmCall } from '../../../src/features/quotes/demand/warm-plan.ts';
import type { Clock } from '../../../src/platform/concurrency/clock.ts';
import type { Kick } from '../../../src/features/quotes/enqueue-refresh.ts';

export interface WarmDeps {
  readonly interest: Pick<Interest, 'currencies' | 'hottest'>;
  readonly mirror: Pick<QuoteMirror, 'get' | 'put' | 'failure' | 'putFailure' | 'ranking' | 'putRanking'>;
  readonly store: Pick<QuoteStore, 'readMany' | 'readRanking'>;
  readonly demand: Pick<Demand, 'want' | 'mostUrgent'>;
  readonly kick: Kick;
  readonly clock: Clock;
  readonly freshMs: number;
  /** What the budget will give to warming within so many milliseconds. */
  readonly means: (withinMs: number) => Promise<WarmMeans>;
}

/** What warming may have. */
export interface WarmMeans {
  readonly calls: number;
  /** Whether it may have a part of the calls of others where they take all. */
  readonly mayJoin: boolean;
}

/** Time (ms) between two looks; the schedule keeps to it. */
export const warmEveryMs = 5_000;

/** An asset is due so long (ms) before it stops being fresh, and at half of its time at the earliest: two looks and a wait. */
const leadMs = 15_000;
/** Assets of a currency that are looked at, the hottest first. */
const maxHot = 10_000;
/** Assets of a currency that a process which holds nothing yet reads from Redis at a look. */
const maxLoaded = 2_000;
const maxIds = 250;
const maxBytes = 6_000;

/** What the decision needs of the budget's state. */
export interface WarmBudget {
  readonly ready: boolean;
  readonly limit: number;
  readonly used: number;
  readonly nextGrantInMs: number;
  readonly spacingMs: number;
  readonly blockedForMs: number;
  /** Credits of the provider's month; null without such a limit. */
  readonly month: { readonly atHand: { readonly warming: number } } | null;
}

/** Share of the calls of a minute up to which the budget gives to warming (src/providers/budget). */
const warmingShare = 0.9;

/** Calls that the budget will give to warming within `withinMs`, as far as its state tells; the month's pace is kept. */
function callsToWarm(budget: WarmBudget, withinMs: number): number {
  const { ready, limit, used, nextGrantInMs, spacingMs, blockedForMs, month } = budget;
  const waitMs = Math.max(nextGrantInMs, blockedForMs);
  if (!ready || waitMs > withinMs) return 0;
  const byPace = 1 + Math.floor((withinMs - waitMs) / Math.max(1, spacingMs));
  const byMinute = Math.floor(limit * warmingShare) - used;
  const byMonth = month === null ? Infinity : Math.floor(month.atHand.warming);
  return Math.max(0, Math.min(byPace, byMinute, byMonth));
}

/** {@link WarmMeans} as far as the budget's state tells: nobody joins where the month, and not the minute, is what is short. */
export function meansToWarm(budget: WarmBudget, withinMs: number): WarmMeans {
  const { ready, blockedForMs, month } = budget;
  const isMinuteShort = ready && blockedForMs === 0 && (month === null || month.atHand.warming >= 1);
  return { calls: callsToWarm(budget, withinMs), mayJoin: isMinuteShort };
}

/** One look. Returns the number of calls that were wanted. */
export async function warmQuotes(deps: WarmDeps): Promise<number> {
  const { calls: maxCalls, mayJoin } = await deps.means(warmEveryMs);
  if (maxCalls === 0) return mayJoin ? await joinOthers(deps) : 0;
  const plans = [];
  for (const currency of await deps.interest.currencies()) plans.push(await planOf(deps, currency, maxCalls));
  const calls = plans
    .flat()
    .toSorted((a, b) => b.heat - a.heat)
    .slice(0, maxCalls);
  await Promise.all(calls.map((call) => wantCall(deps, call)));
  return calls.length;
}

/** Wants the hottest that are due beside what users wait for, in the order of fair shares. */
async function joinOthers(deps: WarmDeps): Promise<number> {
  const { interest, demand } = deps;
  const calls: WarmCall[] = [];
  for (const currency of await interest.currencies())
    if ((await demand.mostUrgent(currency)) === 'interactive')
      calls.push(...(await planOf(deps, currency, 1)));
  const hottest = calls
    .filter(({ page }) => page === undefined)
    .reduce<WarmCall | undefined>((best, call) => (call.heat > (best?.heat ?? 0) ? call : best), undefined);
  if (hottest === undefined) return 0;
  const { currency, assetIds } = hottest;
  await demand.want({
    currency,
    assetIds,
    urgency: 'interactive',
    isPatient: true,
    freshAfter: freshAfter(deps),
  });
  return 1;
}

async function planOf(deps: WarmDeps, currency: string, maxCalls: number): Promise<readonly WarmCall[]> {
  const { mirror, clock, freshMs } = deps;
  const hot = await deps.interest.hottest(currency, maxHot);
  await load(deps, currency, hot);
  const now = clock.now();
  return planWarming({
    currency,
    hot,
    pages: await pagesOf(deps, currency, hot),
    receivedAt: (assetId) =>
      mirror.failure(currency, assetId, now) === undefined
        ? (mirror.get(currency, assetId)?.receivedAt ?? 0)
        : undefined,
    now,
    dueAfterMs: dueAfter(freshMs),
    maxCalls,
    maxIds,
    maxBytes,
  });
}

function dueAfter(freshMs: number): number {
  return Math.max(freshMs - leadMs, freshMs / 2);
}

/** Ticks bring what is fetched from now on; what was fetched before this process began is in Redis. */
async function load({ mirror, store }: WarmDeps, currency: string, hot: readonly HotItem[]): Promise<void> {
  const absent = hot
    .flatMap(({ id }) => (pageOf(id) === undefined && mirror.get(currency, id) === undefined ? [id] : []))
    .slice(0, maxLoaded);
  for (const { quote, failure } of await store.readMany(currency, absent)) {
    if (quote !== undefined) mirror.put(quote);
    if (failure !== undefined) mirror.putFailure(currency, failure);
  }
}

/** The pages that are read. Those alone: the place of an asset in a ranking that nobody reads may be long past. */
async function pagesOf(
  { mirror, store }: WarmDeps,
  currency: string,
  hot: readonly HotItem[],
): Promise<KnownPage[]> {
  const pages: KnownPage[] = [];
  for (const { id } of hot) {
    const page = pageOf(id);
    if (page === undefined) continue;
    const known = mirror.ranking(currency, page) ?? (await store.readRanking(currency, page));
    if (known !== undefined) mirror.putRanking(currency, known, page);
    pages.push({ page, receivedAt: known?.receivedAt ?? 0, assetIds: known?.assetIds ?? [] });
  }
  return pages;
}

/** What was received later need not be fetched again (ms since the epoch). */
function freshAfter({ clock, freshMs }: WarmDeps): number {
  return clock.now() - dueAfter(freshMs) / 2;
}

async function wantCall(deps: WarmDeps, call: WarmCall): Promise<void> {
  const { demand, kick } = deps;
  const { currency, page, assetIds } = call;
  if (page !== undefined) {
    await kick.markets(currency, { page, urgency: 'warming' });
    return;
  }
  const wanted = { currency, assetIds, urgency: 'warming', freshAfter: freshAfter(deps) } as const;
  const { settled } = await demand.want(wanted);
  if (settled.length < assetIds.length) await kick.quotes(currency, 'warming');
}
