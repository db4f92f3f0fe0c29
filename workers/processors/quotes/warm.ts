/**
 * `quotes.warm`: keeps fresh what was read in the last minutes, the hottest first. It makes no call itself: it requests assets
 * at the urgency `warming`, or enqueues a refresh of a page of the ranking, for as many calls as the budget will grant before
 * the next run. The budget decides at each call. Further assets fill up the batches of more urgent calls. When users take every
 * call, the hottest assets take their turn among them, as if one more user had asked: otherwise assets that thousands read
 * would be renewed no sooner than those that one reads. When nobody reads, nothing is requested.
 */
import type { BudgetState } from '../../../src/domain/budget-state.ts';
import { pageOf, type HotItem } from '../../../src/features/quotes/demand/interest.ts';
import { planWarming, type KnownPage, type WarmCall } from '../../../src/features/quotes/demand/warm-plan.ts';
import type { Clock } from '../../../src/platform/concurrency/clock.ts';
import type { QuoteService } from '../../../src/features/quotes/quote-service.ts';

export interface WarmDeps extends Pick<QuoteService, 'want' | 'load' | 'freshMs'> {
  readonly interest: Pick<QuoteService['interest'], 'currencies' | 'hottest'>;
  readonly local: Pick<QuoteService['local'], 'get' | 'failure' | 'ranking' | 'putRanking'>;
  readonly store: Pick<QuoteService['store'], 'readRanking'>;
  readonly demand: Pick<QuoteService['demand'], 'want' | 'mostUrgent'>;
  readonly enqueue: Pick<QuoteService['enqueue'], 'markets'>;
  readonly clock: Clock;
  /** What the budget will grant to warming within this number of milliseconds. */
  readonly means: (withinMs: number) => Promise<ReturnType<typeof meansToWarm>>;
}

/** Time (ms) between two runs, as in the schedule. */
export const warmEveryMs = 5_000;

/** An asset is due this long (ms) before it stops being fresh, but not before half of that time: two runs and a wait. */
const leadMs = 15_000;
/** Assets of a currency that are considered, the hottest first. */
const maxHot = 10_000;
/** Assets of a currency that a process with an empty cache reads from Redis per run. */
const maxLoaded = 2_000;
const maxIds = 250;
const maxBytes = 6_000;

/** The part of the budget's state that the decision needs. */
export type WarmBudget = Pick<
  BudgetState,
  'ready' | 'spare' | 'nextGrantInMs' | 'spacingMs' | 'blockedForMs'
> & { readonly month: { readonly atHand: { readonly warming: number } } | null };

/** Calls that the budget will give to warming within `withinMs`, as far as its state tells; the month's pace is kept. */
function callsToWarm(budget: WarmBudget, withinMs: number): number {
  const { ready, spare, nextGrantInMs, spacingMs, blockedForMs, month } = budget;
  const waitMs = Math.max(nextGrantInMs, blockedForMs);
  if (!ready || waitMs > withinMs) return 0;
  const byPace = 1 + Math.floor((withinMs - waitMs) / Math.max(1, spacingMs));
  const byMonth = month === null ? Infinity : Math.floor(month.atHand.warming);
  return Math.max(0, Math.min(byPace, spare.now, byMonth));
}

/**
 * What warming may use, according to the budget's state: calls, and whether it may take part in the calls of others when these
 * take all. It may not when the month, and not the minute, is short.
 */
export function meansToWarm(
  budget: WarmBudget,
  withinMs: number,
): { readonly calls: number; readonly mayJoin: boolean } {
  const { ready, blockedForMs, month } = budget;
  const isMinuteShort = ready && blockedForMs === 0 && (month === null || month.atHand.warming >= 1);
  return { calls: callsToWarm(budget, withinMs), mayJoin: isMinuteShort };
}

/** One run. Returns the number of requested calls. */
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

/** Requests the hottest due assets together with what users wait for, in the order of fair shares. */
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
  // Jobs for waiting users are already queued.
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
  const { local, clock, freshMs } = deps;
  const hot = await deps.interest.hottest(currency, maxHot);
  // Ticks deliver what is fetched from now on; what was fetched before this process started is in Redis.
  const absent = hot
    .flatMap(({ id }) => (pageOf(id) === undefined && local.get(currency, id) === undefined ? [id] : []))
    .slice(0, maxLoaded);
  await deps.load(currency, absent);
  const now = clock.now();
  return planWarming({
    currency,
    hot,
    pages: await pagesOf(deps, currency, hot),
    receivedAt: (assetId) =>
      local.failure(currency, assetId, now) === undefined
        ? (local.get(currency, assetId)?.receivedAt ?? 0)
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

/** Only the pages that are read: the place of an asset in a ranking that nobody reads may be outdated. */
async function pagesOf(
  { local, store }: WarmDeps,
  currency: string,
  hot: readonly HotItem[],
): Promise<KnownPage[]> {
  const pages: KnownPage[] = [];
  for (const { id } of hot) {
    const page = pageOf(id);
    if (page === undefined) continue;
    const known = local.ranking(currency, page) ?? (await store.readRanking(currency, page));
    if (known !== undefined) local.putRanking(currency, known, page);
    pages.push({ page, receivedAt: known?.receivedAt ?? 0, assetIds: known?.assetIds ?? [] });
  }
  return pages;
}

/** Quotes received after this time (ms since the epoch) need not be fetched again. */
function freshAfter({ clock, freshMs }: WarmDeps): number {
  return clock.now() - dueAfter(freshMs) / 2;
}

async function wantCall(deps: WarmDeps, call: WarmCall): Promise<void> {
  const { currency, page, assetIds } = call;
  if (page !== undefined) await deps.enqueue.markets(currency, { page, urgency: 'warming' });
  else await deps.want({ currency, assetIds, urgency: 'warming', freshAfter: freshAfter(deps) });
}
