import { supportedCurrencies } from './currencies.ts';
import type { MarketResponse } from './error-responses.ts';
import { changePercent } from './query-values.ts';
import { unpricedObservation, type MarketSource, type Observation } from './source.ts';

/** `GET /coins/{id}`: everything about one asset; parts that the market does not have are empty in the API's shape. */

const dayMs = 86_400_000;
const hourMs = 3_600_000;
const image = (id: string, size: string): string => `https://market.invalid/coins/images/${id}-${size}.png`;

/** Answers the call for a listed asset. */
export function coinResponse(source: MarketSource, id: string, query: URLSearchParams): MarketResponse {
  const listing = source.listing(id);
  const [symbol, name] = [listing?.symbol ?? '', listing?.name ?? ''];
  const shows = (part: string): boolean => query.get(part) !== 'false';
  const seen = source.observe(id, 'usd') ?? unpricedObservation;
  const updated = new Date(seen.asOf ?? source.now()).toISOString();
  const body = {
    id,
    symbol,
    name,
    web_slug: id,
    asset_platform_id: null,
    platforms: { '': '' },
    detail_platforms: { '': { decimal_place: null, contract_address: '' } },
    block_time_in_minutes: 0,
    hashing_algorithm: null,
    categories: [],
    preview_listing: false,
    public_notice: null,
    additional_notices: [],
    has_supply_breakdown: false,
    ...(shows('localization') ? { localization: { en: name } } : {}),
    description: { en: `${name} in a market that is simulated or replayed.` },
    links,
    image: { thumb: image(id, 'thumb'), small: image(id, 'small'), large: image(id, 'large') },
    country_origin: '',
    genesis_date: null,
    sentiment_votes_up_percentage: null,
    sentiment_votes_down_percentage: null,
    watchlist_portfolio_users: 0,
    market_cap_rank: source.rank(id),
    market_cap_rank_with_rehypothecated: source.rank(id),
    ...(shows('market_data') ? { market_data: marketStats(source, id, query) } : {}),
    ...(shows('community_data') ? { community_data: community } : {}),
    ...(shows('developer_data') ? { developer_data: development } : {}),
    status_updates: [],
    last_updated: updated,
    ...(shows('tickers') ? { tickers: [] } : {}),
  };
  return { status: 200, body };
}

const links = {
  homepage: [''],
  whitepaper: '',
  blockchain_site: [''],
  official_forum_url: [''],
  chat_url: [''],
  announcement_url: [''],
  snapshot_url: null,
  twitter_screen_name: '',
  facebook_username: '',
  bitcointalk_thread_identifier: null,
  telegram_channel_identifier: '',
  subreddit_url: '',
  repos_url: { github: [], bitbucket: [] },
};
const community = {
  facebook_likes: null,
  reddit_average_posts_48h: 0,
  reddit_average_comments_48h: 0,
  reddit_subscribers: 0,
  reddit_accounts_active_48h: 0,
  telegram_channel_user_count: null,
};
const development = {
  forks: 0,
  stars: 0,
  subscribers: 0,
  total_issues: 0,
  closed_issues: 0,
  pull_requests_merged: 0,
  pull_request_contributors: 0,
  code_additions_deletions_4_weeks: { additions: 0, deletions: 0 },
  commit_count_4_weeks: 0,
  last_4_weeks_commit_activity_series: [],
};

function marketStats(source: MarketSource, id: string, query: URLSearchParams): object {
  const inAll = (pick: (seen: Observation, currency: string) => number | null): Record<string, number> => {
    const found: Record<string, number> = {};
    for (const currency of supportedCurrencies) {
      const value = pick(source.observe(id, currency) ?? unpricedObservation, currency);
      if (value !== null) found[currency] = value;
    }
    return found;
  };
  const usd = source.observe(id, 'usd') ?? unpricedObservation;
  const ago = (ms: number): Record<string, number> =>
    inAll((seen, currency) => changePercent(seen.price, source.priceAgo(id, currency, ms)));
  return {
    current_price: inAll((seen) => seen.price),
    total_value_locked: null,
    mcap_to_tvl_ratio: null,
    fdv_to_tvl_ratio: null,
    roi: null,
    ath: {},
    ath_change_percentage: {},
    ath_date: {},
    atl: {},
    atl_change_percentage: {},
    atl_date: {},
    market_cap: inAll((seen) => seen.marketCap),
    market_cap_rank: source.rank(id),
    fully_diluted_valuation: inAll((seen) => product(seen.price, seen.maxSupply)),
    total_volume: inAll((seen) => seen.volume),
    high_24h: inAll((_seen, currency) => source.dayRange(id, currency)?.high ?? null),
    low_24h: inAll((_seen, currency) => source.dayRange(id, currency)?.low ?? null),
    price_change_24h: (usd.price ?? 0) - (usd.priceDayAgo ?? usd.price ?? 0),
    price_change_percentage_24h: changePercent(usd.price, usd.priceDayAgo) ?? 0,
    ...changesInUsd(source, id),
    price_change_percentage_1h_in_currency: ago(hourMs),
    price_change_percentage_24h_in_currency: ago(dayMs),
    price_change_percentage_7d_in_currency: ago(7 * dayMs),
    price_change_percentage_30d_in_currency: ago(30 * dayMs),
    price_change_percentage_1y_in_currency: ago(365 * dayMs),
    total_supply: usd.maxSupply ?? usd.circulatingSupply ?? 0,
    max_supply: usd.maxSupply,
    circulating_supply: usd.circulatingSupply ?? 0,
    last_updated: new Date(usd.asOf ?? source.now()).toISOString(),
    ...(query.get('sparkline') === 'true' ? { sparkline_7d: sparkline(source, id) } : {}),
  };
}

function changesInUsd(source: MarketSource, id: string): Record<string, number> {
  const now = source.priceAgo(id, 'usd', 0);
  const spans = { '7d': 7, '14d': 14, '30d': 30, '60d': 60, '200d': 200, '1y': 365 };
  return Object.fromEntries(
    Object.entries(spans).map(([name, count]) => [
      `price_change_percentage_${name}`,
      changePercent(now, source.priceAgo(id, 'usd', count * dayMs)) ?? 0,
    ]),
  );
}

function product(left: number | null, right: number | null): number | null {
  return left === null || right === null ? null : left * right;
}

function sparkline(source: MarketSource, id: string): number[] {
  const prices = Array.from({ length: 168 }, (_, hour) => source.priceAgo(id, 'usd', (167 - hour) * hourMs));
  return prices.filter((price) => price !== null);
}
