import type { ApiModule } from '../../platform/http/api-module.ts';
import type { Platform } from '../../platform/platform.ts';
import { cacheRoutes, priceRoutes, submissionRoutes } from './routes.ts';
import { streamRoutes } from './stream-routes.ts';

type Services = Omit<Parameters<typeof priceRoutes>[0], 'config'> &
  Parameters<typeof cacheRoutes>[0] &
  Parameters<typeof submissionRoutes>[0] &
  Parameters<typeof streamRoutes>[0];

/**
 * The module of prices: their streams, the quote jobs, and this process's cached quotes. Later modules provide the price
 * sources.
 */
export function createQuotesModule({ config }: Pick<Platform, 'config'>, services: Services): ApiModule {
  return {
    routes: [
      ...cacheRoutes(services),
      ...streamRoutes(services),
      ...submissionRoutes(services),
      ...priceRoutes({ ...services, config }),
    ],
    metrics(metrics) {
      metrics.gauge('quote_cache_entries', 'Quotes held by this process.', {
        label: 'state',
        read: () => services.quotes.stats().by_state,
      });
      metrics.gauge('quote_cache_age_seconds', 'Age of the quotes held.', {
        label: 'quantile',
        read: () => {
          const { p50, p99, max } = services.quotes.stats().age_seconds;
          const ages = Object.entries({ 0.5: p50, 0.99: p99, 1: max });
          return Object.fromEntries(
            ages.flatMap(([quantile, age]) => (age === null ? [] : [[quantile, age]])),
          );
        },
      });
      metrics.gauge('price_deviations_total', 'Prices far from the last one, by what became of them.', {
        label: 'verdict',
        read: () => services.quotes.deviations(),
      });
    },
  };
}
