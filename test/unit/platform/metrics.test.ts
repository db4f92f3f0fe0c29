import { expect } from 'chai';
import { createQuotesModule } from '../../../src/features/quotes/module.ts';
import { createUpstreamModule } from '../../../src/features/upstream/module.ts';
import { loadConfig } from '../../../src/platform/config/load-config.ts';
import { createMetrics } from '../../../src/platform/observability/metrics-registry.ts';

describe('metrics', () => {
  it('sorts durations into cumulative buckets', async () => {
    const metrics = createMetrics();
    const counter = metrics.httpRoute('GET', '/x');
    for (const seconds of [0.0005, 0.0006, 0.02, 100]) counter.add(200, seconds);
    const text = await metrics.text();
    const bucket = (le: string): string =>
      `http_request_duration_seconds_bucket{le="${le}",method="GET",route="/x"}`;
    expect(text)
      .to.include(`${bucket('0.0005')} 1`)
      .and.include(`${bucket('0.001')} 2`);
    expect(text)
      .to.include(`${bucket('0.025')} 3`)
      .and.include(`${bucket('60')} 3`)
      .and.include(`${bucket('+Inf')} 4`);
    expect(text).to.include('http_request_duration_seconds_count{method="GET",route="/x"} 4');
    expect(text).to.include('# TYPE http_request_duration_seconds histogram');
  });

  it('reads gauges when asked, and leaves out those that cannot be read', async () => {
    const metrics = createMetrics();
    const read = () => Promise.resolve({ queued: 2, running: 1 });
    metrics.gauge('job_states', 'Client jobs by state.', { label: 'state', read });
    const away = () => Promise.reject(new Error('Redis is away'));
    const calls = () => Promise.resolve({ ok: 1 });
    const failures = () => Promise.resolve({ dns: 2 });
    createUpstreamModule({}, { upstream: { budgetState: away, sources: away, calls, failures } }).metrics?.(
      metrics,
    );
    metrics.gauge('streams_open', 'Open streams.', { read: () => 3 });
    const age_seconds = { p50: 1, p99: null, max: 5 };
    const by_state = { fresh: 4, stale: 0, not_found: 0 };
    // Its routes are not served here.
    const quotes = { stats: () => ({ by_state, age_seconds }), deviations: away };
    const services = { quotes, assets: { idOf: String } } as unknown as Parameters<
      typeof createQuotesModule
    >[1];
    createQuotesModule({ config: loadConfig({}) }, services).metrics?.(metrics);
    metrics.jobSubmitted('bulk.fetch');
    const text = await metrics.text();
    for (const line of [
      'job_states{state="queued"} 2',
      'streams_open 3',
      'quote_cache_entries{state="fresh"} 4',
      'quote_cache_age_seconds{quantile="0.5"} 1',
      'quote_cache_age_seconds{quantile="1"} 5',
      'upstream_calls_total{outcome="ok"} 1',
      'upstream_failures_total{cause="dns"} 2',
      'jobs_submitted_total{name="bulk.fetch"} 1',
    ]) {
      expect(text).to.include(`${line}\n`);
    }
    expect(text).to.not.match(/^upstream_budget_(limit|used) /m);
    expect(text).to.not.include('quantile="0.99"');
  });
});
