/** Jobs that fetch quotes for clients, and the one that keeps fresh what is read. */
import type { BudgetState } from '../../../src/domain/budget-state.ts';
import type { QuoteService } from '../../../src/features/quotes/quote-service.ts';
import type { Platform } from '../../../src/platform/platform.ts';
import type { WorkerModule } from '../../runtime/processor.ts';
import { createAggregator } from '../../threads/aggregate.ts';
import type { Threads } from '../../threads/threads.ts';
import type { ClientRunDeps } from '../jobs/client-run.ts';
import { createRequestProcessors } from './requests.ts';
import { meansToWarm, warmQuotes } from './warm.ts';

/** What quotes give workers. */
export function createQuoteProcessors(
  { config, clock }: Platform,
  {
    quotes,
    budgetStatus,
    clientRuns,
    threads,
  }: {
    readonly quotes: QuoteService;
    readonly budgetStatus: () => Promise<Omit<BudgetState, 'freshnessSeconds'>>;
    /** What every job of clients runs with. */
    readonly clientRuns: () => ClientRunDeps;
    readonly threads: Threads;
  },
) {
  const { interest, local, store, demand, enqueue, want, freshMs, collect } = quotes;
  const warming = {
    ...{ interest, local, store, demand, enqueue, want, freshMs, clock },
    load: (currency: string, assetIds: readonly string[]) => quotes.load(currency, assetIds),
    means: async (withinMs: number) => meansToWarm(await budgetStatus(), withinMs),
  };
  return {
    processors: {
      requests: () =>
        createRequestProcessors({
          ...clientRuns(),
          collect,
          aggregator: createAggregator(threads),
          deadlineMs: config.JOB_DEADLINE_SECONDS * 1000,
        }),
      upkeep: () => ({
        'quotes.warm': async () => ({ calls: config.WARMING === 'off' ? 0 : await warmQuotes(warming) }),
      }),
    },
  } satisfies WorkerModule;
}
