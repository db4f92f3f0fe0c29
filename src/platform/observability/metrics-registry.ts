/**
 * Metrics of a process, in a registry of its own. Gauges are read when somebody scrapes: the owner of a figure registers how
 * to read it. A reading that fails or takes longer than a second leaves its gauge out instead of failing the scrape.
 */
import { collectDefaultMetrics, Counter, Gauge, Registry } from 'prom-client';
import { withDeadline } from '../concurrency/deadline.ts';
import { registerTallies, RouteTally } from './route-counter.ts';

/** What the cache gauges show. Ages in seconds; null when nothing is held. */
export interface CacheFigures {
  readonly by_state: Readonly<Record<string, number>>;
  readonly age_seconds: {
    readonly p50: number | null;
    readonly p99: number | null;
    readonly max: number | null;
  };
}

/** What the budget gauges show; moments in ms since the epoch. */
export interface BudgetFigures {
  readonly limit: number;
  readonly fullLimit: number;
  readonly used: number;
  readonly freshnessSeconds: number | null;
  readonly month: {
    readonly left: number;
    readonly reserve: number;
    readonly spentPerHour: number;
    readonly affordablePerHour: number;
    readonly endsAt: number;
    readonly lastsUntil: number | null;
  } | null;
}

/** What the gauges of price sources show. */
export interface SourceGaugeFigures {
  readonly sources: readonly { readonly name: string; readonly state: string; readonly failures: number }[];
  /** Number of prices that were far from the last one, by what became of them. */
  readonly guarded: Readonly<Record<string, number>>;
}

export interface Metrics {
  /** Content type of {@link text}. */
  readonly contentType: string;
  /** Everything, in the Prometheus text format. */
  text(): Promise<string>;
  /** The tally of a route, the same one whoever asks; for when routes are built. */
  httpRoute(method: string, route: string): RouteTally;
  /** Registers a gauge that is read when somebody scrapes. */
  gauge(name: string, help: string, reading: GaugeReading): void;
  /** Counts an accepted job. */
  jobSubmitted(name: string): void;
  /** Registers how to read the number of calls to the provider by outcome, of the whole fleet. */
  onUpstreamCalls(read: () => Promise<Readonly<Record<string, number>>>): void;
  /** Registers how to read the number of jobs by state. */
  onJobStates(read: () => Promise<Readonly<Record<string, number>>>): void;
  /** Registers how to read the upstream budget. */
  onBudget(read: () => Promise<BudgetFigures>): void;
  /** Registers how to read how many failures in a row each price source has, which of them are not called, and far prices. */
  onSources(read: () => Promise<SourceGaugeFigures>): void;
  /** Registers how to read the quote cache of this process. */
  onQuoteCache(read: () => CacheFigures): void;
}

const readDeadlineMs = 1_000;

/**
 * Prom-client looks at the event loop with a timer of 10 ms, which costs an idle process more than all the rest, and counts
 * the timer's own pause as delay. Ours looks twice a second and tells the worst.
 */
const eventLoopLookMs = 500;

function collectNodeMetrics(registry: Registry): void {
  collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: eventLoopLookMs });
  for (const figure of ['min', 'max', 'mean', 'stddev', 'p50', 'p90', 'p99'])
    registry.removeSingleMetric(`nodejs_eventloop_lag_${figure}_seconds`);
  let worstMs = 0;
  let lookedAt = performance.now();
  setInterval(() => {
    const now = performance.now();
    worstMs = Math.max(worstMs, now - lookedAt - eventLoopLookMs);
    lookedAt = now;
  }, eventLoopLookMs).unref();
  gaugeIn(registry)(
    'event_loop_delay_max_seconds',
    'Longest delay of a timer since the last time it was read.',
    {
      read: () => {
        const seconds = worstMs / 1000;
        worstMs = 0;
        return seconds;
      },
    },
  );
}

/** Builds the {@link Metrics} of a process, with those of Node (memory, CPU, event loop) among them. */
export function createMetrics(): Metrics {
  const registry = new Registry();
  collectNodeMetrics(registry);
  const tallies = new Map<string, RouteTally>();
  registerTallies(registry, tallies);
  const counter = counterIn(registry);
  const gauge = gaugeIn(registry);
  const submitted = counter('jobs_submitted_total', 'Client jobs accepted.', 'name');

  return {
    contentType: registry.contentType,
    text: async () => registry.metrics(),
    httpRoute: (method, route) => {
      const name = `${method} ${route}`;
      const tally = tallies.get(name) ?? new RouteTally(method, route);
      tallies.set(name, tally);
      return tally;
    },
    gauge,
    jobSubmitted: (name) => submitted.inc({ name }),
    onUpstreamCalls: (read) =>
      gauge('upstream_calls_total', 'Calls of the fleet to the price provider.', { label: 'outcome', read }),
    onJobStates: (read) => gauge('job_states', 'Client jobs by state.', { label: 'state', read }),
    onBudget: (read) => registerBudget(gauge, read),
    onSources: (read) => registerSources(gauge, read),
    onQuoteCache: (read) => {
      gauge('quote_cache_entries', 'Quotes held by this process.', {
        label: 'state',
        read: () => read().by_state,
      });
      gauge('quote_cache_age_seconds', 'Age of the quotes held.', {
        label: 'quantile',
        read: () => agesOf(read()),
      });
    },
  };
}

/** Figures that are not known, or that there are none of, are left out. */
function registerBudget(gauge: ReturnType<typeof gaugeIn>, read: () => Promise<BudgetFigures>): void {
  const each = (name: string, help: string, of: (budget: BudgetFigures) => number | null | undefined): void =>
    gauge(name, help, { read: async () => of(await read()) ?? undefined });
  each('upstream_budget_limit', 'Upstream calls allowed in 60 s now.', ({ limit }) => limit);
  each(
    'upstream_budget_limit_full',
    'Upstream calls allowed in 60 s without a 429.',
    ({ fullLimit }) => fullLimit,
  );
  each('upstream_budget_used', 'Upstream calls of the last 60 s.', ({ used }) => used);
  each('upstream_credits_left', 'Credits left of the month.', ({ month }) => month?.left);
  each('upstream_credits_reserve', 'Credits that only users may spend.', ({ month }) => month?.reserve);
  each('upstream_credits_per_hour', 'Credits of the last hour.', ({ month }) => month?.spentPerHour);
  each(
    'upstream_credits_affordable_per_hour',
    'Credits released an hour now.',
    ({ month }) => month?.affordablePerHour,
  );
  each(
    'upstream_credits_last_until_seconds',
    'When the credits are used up at the rate of the last hour, the end of the month at the latest (Unix time).',
    ({ month }) => month && (month.lastsUntil ?? month.endsAt) / 1000,
  );
  each(
    'quote_freshness_affordable_seconds',
    'Age that quotes reach if every call that can be afforded renews what is read.',
    ({ freshnessSeconds }) => freshnessSeconds,
  );
}

function registerSources(gauge: ReturnType<typeof gaugeIn>, read: () => Promise<SourceGaugeFigures>): void {
  const each = (of: (source: { state: string; failures: number }) => number) => async () =>
    Object.fromEntries((await read()).sources.map((source) => [source.name, of(source)]));
  gauge('price_source_failures', 'Failures in a row of a price source.', {
    label: 'source',
    read: each(({ failures }) => failures),
  });
  gauge('price_source_closed', 'Whether calls of a price source pass its circuit breaker.', {
    label: 'source',
    read: each(({ state }) => Number(state === 'closed')),
  });
  gauge('price_deviations_total', 'Prices far from the last one, by what became of them.', {
    label: 'verdict',
    read: async () => (await read()).guarded,
  });
}

function counterIn(registry: Registry) {
  return <L extends string>(name: string, help: string, label: L): Counter<L> =>
    new Counter({ name, help, labelNames: [label], registers: [registry] });
}

type Figures = Readonly<Record<string, number>>;

interface GaugeReading {
  /** Name of the label that the keys of a record are values of. */
  readonly label?: string;
  /** Undefined leaves the gauge out. */
  readonly read: () => Figures | number | Promise<Figures | number | undefined>;
}

function gaugeIn(registry: Registry) {
  return (name: string, help: string, { label, read }: GaugeReading): void => {
    new Gauge({
      name,
      help,
      labelNames: label === undefined ? [] : [label],
      registers: [registry],
      async collect() {
        this.reset();
        const figures = await withDeadline(Promise.resolve().then(read), readDeadlineMs, name).catch(
          () => undefined,
        );
        if (typeof figures === 'number') this.set(figures);
        else if (figures === undefined) this.remove({});
        else for (const [key, value] of Object.entries(figures)) this.set({ [label ?? 'key']: key }, value);
      },
    });
  };
}

function agesOf({ age_seconds: { p50, p99, max } }: CacheFigures): Figures {
  const ages = { 0.5: p50, 0.99: p99, 1: max };
  return Object.fromEntries(
    Object.entries(ages).filter((entry): entry is [string, number] => entry[1] !== null),
  );
}
