import { priceSourceOf } from './price-source.ts';
import type { SettingValues } from './settings.ts';

/** Limits of one provider and key. */
export interface UpstreamLimits {
  /** Calls in any 60 s. */
  readonly callsPerMinute: number;
  /** Credits of a month; undefined without such a limit. */
  readonly creditsPerMonth: number | undefined;
  /** Day of the month (UTC) on which the provider's month begins. */
  readonly monthStartsOn: number;
  /** What an operator has set, as opposed to what is assumed: the provider's own word may not raise it. */
  readonly set: { readonly callsPerMinute: boolean; readonly creditsPerMonth: boolean };
}

/** What CoinGecko publishes, or what is careful where it publishes nothing (keyless) or tells it by `/key` (pro). */
const ofPlan = {
  keyless: { callsPerMinute: 10, creditsPerMonth: undefined },
  demo: { callsPerMinute: 30, creditsPerMonth: 10_000 },
  pro: { callsPerMinute: 30, creditsPerMonth: undefined },
} as const;
const ofMarket = { callsPerMinute: 30, creditsPerMonth: undefined } as const;

/** Limits of the primary price source: the configured ones, else those of its plan. */
export function primaryLimits(
  values: Pick<
    SettingValues,
    | 'PROVIDER'
    | 'COINGECKO_API_KEY'
    | 'COINGECKO_BASE_URL'
    | 'COINGECKO_PLAN'
    | 'UPSTREAM_CALLS_PER_MINUTE'
    | 'UPSTREAM_CREDITS_PER_MONTH'
    | 'UPSTREAM_MONTH_STARTS_ON'
  >,
): UpstreamLimits {
  const { COINGECKO_PLAN: plan, COINGECKO_BASE_URL: root } = values;
  const real = priceSourceOf(values).provider === 'coingecko';
  const shared = plan === 'keyless' && root === undefined;
  const assumed = real && (plan !== 'keyless' || shared) ? ofPlan[plan] : ofMarket;
  const { UPSTREAM_CALLS_PER_MINUTE: calls, UPSTREAM_CREDITS_PER_MONTH: credits } = values;
  return {
    callsPerMinute: calls ?? assumed.callsPerMinute,
    creditsPerMonth: credits === undefined ? assumed.creditsPerMonth : credits || undefined,
    monthStartsOn: values.UPSTREAM_MONTH_STARTS_ON,
    set: { callsPerMinute: calls !== undefined, creditsPerMonth: credits !== undefined },
  };
}
