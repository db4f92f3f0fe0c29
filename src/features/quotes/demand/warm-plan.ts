/**
 * Plans the calls that keep read quotes fresh. Pure: workers/processors/warm.ts requests them.
 *
 * An item (an asset, or a page of the ranking) is due shortly before it stops being fresh. A call fetches up to 250 assets by
 * their ids, or a page of the ranking, whichever covers more due items; if equal, the page, which renews the order as well. An
 * id list that is not full also takes the hottest assets that are half way to being due, at no extra cost: so assets of similar
 * heat come to be renewed together.
 */
import { pageItem, pageOf, type HotItem } from './interest.ts';

/** One upstream call: a page of the ranking, or a list of ids. */
export interface WarmCall {
  readonly currency: string;
  /** Decayed reads of the due items in it. */
  readonly heat: number;
  readonly page?: number;
  readonly assetIds: readonly string[];
}

/** A page of the ranking, as stored. */
export interface KnownPage {
  readonly page: number;
  /** Milliseconds since the epoch; 0 when it was never fetched. */
  readonly receivedAt: number;
  readonly assetIds: readonly string[];
}

export interface WarmRequest {
  readonly currency: string;
  /** What is read, the hottest first. */
  readonly hot: readonly HotItem[];
  /** Pages that are read. */
  readonly pages: readonly KnownPage[];
  /**
   * When the quote of an asset was received (ms since the epoch); 0 when there is none, undefined when fetching would not help.
   */
  readonly receivedAt: (assetId: string) => number | undefined;
  readonly now: number;
  /** Age (ms) from which an item is due. */
  readonly dueAfterMs: number;
  readonly maxCalls: number;
  /** Most ids in an id list. */
  readonly maxIds: number;
  readonly maxBytes: number;
}

interface Left {
  /** Heat of the due items, the hottest first. */
  readonly due: Map<string, number>;
  /** Assets that are half way to being due, the hottest first. */
  readonly halfWay: string[];
}

/** The calls worth making, the one with most heat first. Every item is in at most one of them. */
export function planWarming(request: WarmRequest): readonly WarmCall[] {
  const left = itemsLeft(request);
  const calls: WarmCall[] = [];
  while (left.due.size > 0 && calls.length < request.maxCalls) {
    const call = nextCall(request, left);
    if (call === undefined) break;
    calls.push(call);
  }
  return calls.toSorted((a, b) => b.heat - a.heat);
}

function itemsLeft({ hot, pages, receivedAt, now, dueAfterMs }: WarmRequest): Left {
  const due = new Map<string, number>();
  const halfWay: string[] = [];
  for (const { id, heat } of hot) {
    const page = pageOf(id);
    const at = page === undefined ? receivedAt(id) : pageAt(pages, page);
    if (at === undefined) continue;
    if (now - at >= dueAfterMs) due.set(id, heat);
    else if (page === undefined && now - at >= dueAfterMs / 2) halfWay.push(id);
  }
  return { due, halfWay };
}

function pageAt(pages: readonly KnownPage[], page: number): number | undefined {
  return pages.find((known) => known.page === page)?.receivedAt;
}

function nextCall(request: WarmRequest, left: Left): WarmCall | undefined {
  const ids = firstThatFit(
    [...left.due.keys()].filter((id) => pageOf(id) === undefined),
    request,
  );
  const covered = bestPage(request, left);
  if (covered !== undefined && covered.items.length >= ids.length) {
    const heat = take(left, covered.items);
    return { currency: request.currency, heat, page: covered.page, assetIds: [] };
  }
  if (ids.length === 0) return undefined;
  const heat = take(left, ids);
  const assetIds = firstThatFit([...ids, ...left.halfWay], request);
  left.halfWay.splice(0, assetIds.length - ids.length);
  return { currency: request.currency, heat, assetIds };
}

/** The page that covers most due items: its own and its assets. */
function bestPage(
  { pages }: WarmRequest,
  { due }: Left,
): { readonly page: number; readonly items: readonly string[] } | undefined {
  let best: { page: number; items: readonly string[] } | undefined;
  for (const { page, assetIds } of pages) {
    const items = [pageItem(page), ...assetIds].filter((id) => due.has(id));
    if (items.length > (best?.items.length ?? 0)) best = { page, items };
  }
  return best;
}

function take({ due }: Left, items: readonly string[]): number {
  let heat = 0;
  for (const id of items) {
    heat += due.get(id) ?? 0;
    due.delete(id);
  }
  return heat;
}

function firstThatFit(ids: readonly string[], { maxIds, maxBytes }: WarmRequest): string[] {
  const fitting: string[] = [];
  let bytes = 0;
  for (const id of ids) {
    bytes += id.length + 1;
    if (fitting.length === maxIds || bytes > maxBytes) break;
    fitting.push(id);
  }
  return fitting;
}
