/**
 * Counts and durations of requests by plain array increments, turned into Prometheus samples only at a scrape. The library's
 * own counters hash their labels at every increment, which would be a tenth of the cost of a cached read.
 */
import type { Histogram, MetricObjectWithValues, MetricValueWithName, Registry } from 'prom-client';

/** Upper bounds in seconds. */
const bounds = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];

/** Counts of the responses of one route. */
export class RouteCounter {
  readonly method: string;
  readonly route: string;
  readonly byStatus = new Map<number, number>();
  readonly buckets = new Float64Array(bounds.length + 1);
  seconds = 0;

  constructor(method: string, route: string) {
    this.method = method;
    this.route = route;
  }

  /** Counts one answer that took `seconds`. */
  add(status: number, seconds: number): void {
    this.byStatus.set(status, (this.byStatus.get(status) ?? 0) + 1);
    let index = 0;
    while (index < bounds.length && seconds > (bounds[index] ?? Infinity)) index += 1;
    this.buckets[index] = (this.buckets[index] ?? 0) + 1;
    this.seconds += seconds;
  }
}

type Sample = MetricValueWithName<string>;

/** Registers `http_requests_total` and `http_request_duration_seconds` over the tallies that `counters` holds by then. */
export function registerRouteCounters(registry: Registry, counters: ReadonlyMap<string, RouteCounter>): void {
  register(registry, {
    name: 'http_requests_total',
    help: 'Requests answered, by method, route and status.',
    type: 'counter',
    read: () => [...counters.values()].flatMap(requestSamples),
  });
  register(registry, {
    name: 'http_request_duration_seconds',
    help: 'Time from the arrival of a request to the end of its response, by route.',
    type: 'histogram',
    read: () => [...counters.values()].filter(({ byStatus }) => byStatus.size > 0).flatMap(durationSamples),
  });
}

function register(
  registry: Registry,
  {
    name,
    help,
    type,
    read,
  }: {
    readonly name: string;
    readonly help: string;
    readonly type: 'counter' | 'histogram';
    readonly read: () => Sample[];
  },
): void {
  const metric = {
    name,
    help,
    type,
    aggregator: 'sum',
    get: async () => Promise.resolve({ name, help, type, aggregator: 'sum', values: read() }),
    reset: () => undefined,
  };
  // The registry asks its metrics for nothing but these; its types know only the library's own classes.
  registry.registerMetric(
    metric as unknown as Histogram & { get(): Promise<MetricObjectWithValues<Sample>> },
  );
}

function requestSamples({ method, route, byStatus }: RouteCounter): Sample[] {
  return [...byStatus].map(([status, value]) => ({ labels: { method, route, status }, value }));
}

function durationSamples({ method, route, buckets, seconds }: RouteCounter): Sample[] {
  const samples: Sample[] = [];
  let total = 0;
  for (const [index, count] of buckets.entries()) {
    total += count;
    const le = bounds[index] ?? '+Inf';
    samples.push(sample('bucket', { le, method, route }, total));
  }
  samples.push(sample('sum', { method, route }, seconds), sample('count', { method, route }, total));
  return samples;
}

function sample(part: string, labels: Record<string, string | number>, value: number): Sample {
  return { metricName: `http_request_duration_seconds_${part}`, labels, value };
}
