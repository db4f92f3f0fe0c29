import type { Metrics } from '../observability/metrics-registry.ts';
import type { Route } from './route.ts';

/** A feature's part of the API process. */
export interface ApiModule {
  readonly routes: readonly Route[];
  /** Registers the gauges of the feature. */
  readonly metrics?: (metrics: Metrics) => void;
}
