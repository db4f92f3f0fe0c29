import type { ApiModule } from '../../platform/http/api-module.ts';
import type { QuoteService } from './quote-service.ts';

/** Registers the gauges of the quote cache of this process, and of the prices that are doubted. */
export function quoteMetrics({
  quotes,
}: {
  readonly quotes: Pick<QuoteService, 'deviations'> & {
    stats(): Pick<ReturnType<QuoteService['stats']>, 'by_state' | 'age_seconds'>;
  };
}): NonNullable<ApiModule['metrics']> {
  return (metrics) => {
    metrics.gauge('quote_cache_entries', 'Quotes held by this process.', {
      label: 'state',
      read: () => quotes.stats().by_state,
    });
    metrics.gauge('quote_cache_age_seconds', 'Age of the quotes held.', {
      label: 'quantile',
      read: () => {
        const { p50, p99, max } = quotes.stats().age_seconds;
        const ages = Object.entries({ 0.5: p50, 0.99: p99, 1: max });
        return Object.fromEntries(ages.flatMap(([quantile, age]) => (age === null ? [] : [[quantile, age]])));
      },
    });
    metrics.gauge('price_deviations_total', 'Prices far from the last one, by what became of them.', {
      label: 'verdict',
      read: () => quotes.deviations(),
    });
  };
}
