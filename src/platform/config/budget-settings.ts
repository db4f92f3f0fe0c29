import { integer, oneOf, text } from './setting.ts';

/** How many calls and credits each provider allows. Part of the table in `settings.ts`. */
export const budgetSettings = {
  UPSTREAM_CALLS_PER_MINUTE: integer({
    min: 1,
    max: 10_000,
    description:
      'Upstream calls that the whole fleet may make in any 60 seconds. Absent: what the plan is known for (30; keyless CoinGecko 10; pro what its key tells).',
  }),
  UPSTREAM_CREDITS_PER_MONTH: integer({
    min: 0,
    max: 1_000_000_000,
    description:
      'Credits that the whole fleet may spend in a month; 0 for no limit. Absent: what the plan is known for (demo 10000, pro what its key tells, else no limit).',
  }),
  UPSTREAM_MONTH_STARTS_ON: integer({
    default: '1',
    min: 1,
    max: 31,
    description: 'Day (UTC) on which the month of the credits begins; in a shorter month its last day.',
  }),
  UPSTREAM_CREDITS_CHARGED: oneOf(['always', 'unless_refused', 'when_successful'], {
    default: 'unless_refused',
    description:
      'Calls that cost credits: all that were sent, those that were not refused (4xx, 429), or those answered 200. A call without an answer always counts.',
  }),
  CMC_API_KEY: text({ sensitive: true, description: 'CoinMarketCap key.' }),
  CMC_CALLS_PER_MINUTE: integer({
    default: '30',
    min: 1,
    max: 10_000,
    description: 'Calls to CoinMarketCap that the whole fleet may make in any 60 seconds.',
  }),
  CMC_CREDITS_PER_MONTH: integer({
    default: '15000',
    min: 0,
    max: 1_000_000_000,
    description: 'Credits of CoinMarketCap that the whole fleet may spend in a month; 0 for no limit.',
  }),
  CMC_MONTH_STARTS_ON: integer({
    default: '1',
    min: 1,
    max: 31,
    description: 'Day (UTC) on which the month of these credits begins.',
  }),
  DEFILLAMA_CALLS_PER_MINUTE: integer({
    default: '60',
    min: 1,
    max: 10_000,
    description: 'Calls to DefiLlama that the whole fleet may make in any 60 seconds.',
  }),
} as const;
