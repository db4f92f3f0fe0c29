import type { Alert } from '../../../src/features/alerts/alert.ts';
import { levelOf, type Observation } from '../../../src/features/alerts/crossing.ts';

/** A price alert at 100, armed, with whatever is different about it. */
export function sampleAlert(different: Partial<Alert> = {}): Alert {
  return {
    id: '01934c2a-0000-7000-8000-000000000a01',
    userId: '01934c2a-0000-7000-8000-000000000001',
    kind: 'price',
    assetId: 'bitcoin',
    portfolioId: null,
    currency: 'usd',
    direction: 'above',
    threshold: '100',
    windowSeconds: null,
    hysteresis: '1',
    hysteresisUnit: 'percent',
    repeat: 'every',
    fireIfTrue: false,
    url: null,
    note: null,
    state: 'armed',
    lastValue: null,
    observedAt: null,
    firedAt: null,
    firedCount: 0,
    notEvaluated: null,
    version: 1,
    createdAt: new Date(0),
    updatedAt: new Date(0),
    ...different,
  };
}

/** A value received at `at` (ms since the epoch). */
export function sampleObservation(text: string, at: number, isFresh = true): Observation {
  const state = isFresh ? 'fresh' : 'stale';
  return {
    value: levelOf(text),
    text,
    at,
    isFresh,
    quote: { asOf: null, receivedAt: at, source: 'simulated', state },
  };
}
