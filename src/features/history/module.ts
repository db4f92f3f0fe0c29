import type { ApiModule } from '../../platform/http/api-module.ts';
import type { HistoryService } from './history-service.ts';

/** How far behind the present candles are rolled up. */
export function createHistoryModule(
  _platform: unknown,
  { history: { rolls } }: { readonly history: { readonly rolls: Pick<HistoryService['rolls'], 'ages'> } },
): ApiModule {
  return {
    routes: [],
    metrics(metrics) {
      metrics.gauge(
        'candle_roll_age_seconds',
        'Time since the end of what has been rolled up into candles.',
        {
          label: 'resolution',
          read: () => rolls.ages(),
        },
      );
    },
  };
}
