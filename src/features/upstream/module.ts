import type { BudgetState, PriceSourceState } from '../../domain/budget-state.ts';
import type { ApiModule } from '../../platform/http/api-module.ts';
import type { UpstreamService } from './upstream-service.ts';

/** The price sources in the API process: gauges of the budget and of the sources. Unknown values are left out. */
export function createUpstreamModule(
  _platform: unknown,
  {
    upstream: { budgetState, sources, calls, failures },
  }: { readonly upstream: Pick<UpstreamService, 'budgetState' | 'sources' | 'calls' | 'failures'> },
): ApiModule {
  return {
    routes: [],
    metrics(metrics) {
      const budget = (
        name: string,
        help: string,
        of: (budget: BudgetState) => number | null | undefined,
      ): void => metrics.gauge(name, help, { read: async () => of(await budgetState()) ?? undefined });
      budget('upstream_budget_limit', 'Upstream calls allowed in 60 s now.', ({ limit }) => limit);
      budget(
        'upstream_budget_limit_full',
        'Upstream calls allowed in 60 s without a 429.',
        ({ fullLimit }) => fullLimit,
      );
      budget('upstream_budget_used', 'Upstream calls of the last 60 s.', ({ used }) => used);
      budget('upstream_credits_left', 'Credits left of the month.', ({ month }) => month?.left);
      budget('upstream_credits_reserve', 'Credits that only users may spend.', ({ month }) => month?.reserve);
      budget('upstream_credits_per_hour', 'Credits of the last hour.', ({ month }) => month?.spentPerHour);
      budget(
        'upstream_credits_affordable_per_hour',
        'Credits released an hour now.',
        ({ month }) => month?.affordablePerHour,
      );
      budget(
        'upstream_credits_last_until_seconds',
        'When the credits run out at the rate of the last hour, at most the end of the month (Unix time).',
        ({ month }) => month && (month.lastsUntil ?? month.endsAt) / 1000,
      );
      budget(
        'quote_freshness_affordable_seconds',
        'Age of quotes that the budget can sustain for the assets that are read.',
        ({ freshnessSeconds }) => freshnessSeconds,
      );
      const each = (of: (source: PriceSourceState) => number) => async () =>
        Object.fromEntries((await sources()).map((source) => [source.name, of(source)]));
      metrics.gauge('price_source_failures', 'Consecutive failures of a price source.', {
        label: 'source',
        read: each(({ failures }) => failures),
      });
      metrics.gauge(
        'price_source_available',
        '1 while the circuit breaker of a price source is closed, so that calls pass.',
        {
          label: 'source',
          read: each(({ state }) => Number(state === 'closed')),
        },
      );
      metrics.gauge('upstream_calls_total', 'Calls of the fleet to the price provider.', {
        label: 'outcome',
        read: calls,
      });
      metrics.gauge('upstream_failures_total', 'Failed calls of the fleet to its price sources.', {
        label: 'cause',
        read: failures,
      });
    },
  };
}
