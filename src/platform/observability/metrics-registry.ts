/**
 * Metrics of a process, in a registry of its own. Gauges are read at each scrape: the owner of a value registers how to read
 * it. A reading that fails or takes longer than a second leaves its gauge out instead of failing the scrape.
 */
import { collectDefaultMetrics, Counter, Gauge, Registry } from 'prom-client';
import { withDeadline } from '../concurrency/deadline.ts';
import { droppedLogLines } from './log-sink.ts';
import { registerRouteCounters, RouteCounter } from './route-counter.ts';

export interface Metrics {
  /** Content type of {@link text}. */
  readonly contentType: string;
  /** Everything, in the Prometheus text format. */
  text(): Promise<string>;
  /** The counter of a route; all callers get the same one. For when routes are built. */
  httpRoute(method: string, route: string): RouteCounter;
  /** Registers a gauge that is read when somebody scrapes. */
  gauge(name: string, help: string, reading: GaugeReading): void;
  /** Counts an accepted job. */
  jobSubmitted(name: string): void;
}

const readDeadlineMs = 1_000;

/**
 * Prom-client looks at the event loop with a timer of 10 ms, which costs an idle process more than all the rest, and counts
 * the timer's own pause as delay. Ours looks twice a second and tells the worst.
 */
const eventLoopSampleMs = 500;

function collectNodeMetrics(registry: Registry): void {
  collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: eventLoopSampleMs });
  for (const figure of ['min', 'max', 'mean', 'stddev', 'p50', 'p90', 'p99'])
    registry.removeSingleMetric(`nodejs_eventloop_lag_${figure}_seconds`);
  let worstMs = 0;
  let polledAt = performance.now();
  setInterval(() => {
    const now = performance.now();
    worstMs = Math.max(worstMs, now - polledAt - eventLoopSampleMs);
    polledAt = now;
  }, eventLoopSampleMs).unref();
  gaugeIn(registry)('event_loop_delay_max_seconds', 'Longest delay of a timer since the last reading.', {
    read: () => {
      const seconds = worstMs / 1000;
      worstMs = 0;
      return seconds;
    },
  });
}

/** Builds the {@link Metrics} of a process, including those of Node (memory, CPU, event loop) and, if given, of its clock. */
export function createMetrics(clock?: { leadMs(): number | undefined }): Metrics {
  const registry = new Registry();
  collectNodeMetrics(registry);
  const counters = new Map<string, RouteCounter>();
  registerRouteCounters(registry, counters);
  const counter = counterIn(registry);
  const gauge = gaugeIn(registry);
  gauge('log_lines_dropped', 'Log lines of this process that could not be written.', {
    read: droppedLogLines,
  });
  if (clock !== undefined) {
    gauge('clock_lead_seconds', "How far this machine's clock is ahead of that of Redis.", {
      read: () => (clock.leadMs() ?? 0) / 1000,
    });
  }
  const submitted = counter('jobs_submitted_total', 'Client jobs accepted.', 'name');

  return {
    contentType: registry.contentType,
    text: async () => registry.metrics(),
    httpRoute: (method, route) => {
      const name = `${method} ${route}`;
      const counter = counters.get(name) ?? new RouteCounter(method, route);
      counters.set(name, counter);
      return counter;
    },
    gauge,
    jobSubmitted: (name) => submitted.inc({ name }),
  };
}

function counterIn(registry: Registry) {
  return <L extends string>(name: string, help: string, label: L): Counter<L> =>
    new Counter({ name, help, labelNames: [label], registers: [registry] });
}

type Samples = Readonly<Record<string, number>>;

interface GaugeReading {
  /** Name of the label that the keys of a record are values of. */
  readonly label?: string;
  /** Undefined leaves the gauge out. */
  readonly read: () => Samples | number | Promise<Samples | number | undefined>;
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
