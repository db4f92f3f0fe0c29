import type { CallLog } from './call-log.ts';
import type { FaultList } from './faults.ts';
import type { MarketSource } from './source.ts';

/** Milliseconds added to every answer: always the same, or evenly spread between two bounds. */
export type Latency = number | { readonly min: number; readonly max: number };

/** The key that callers must send, and the plan it belongs to: plans differ in header and parameter. */
export interface RequiredKey {
  readonly key: string;
  readonly plan: 'demo' | 'pro';
}

/** What may change while the market runs. */
export interface MarketSettings {
  latencyMs: Latency;
  callsPerMinute: number | undefined;
  readonly apiKey: RequiredKey | undefined;
  /** How far back history may be asked for, in days; undefined for no limit. */
  readonly historyDays: number | undefined;
  /** Credits of a month that `/key` tells of. */
  monthlyCredits: number;
}

/** The parts that answering a request needs. */
export interface RequestDeps {
  readonly source: MarketSource;
  readonly log: CallLog;
  readonly faults: FaultList;
  readonly settings: MarketSettings;
}
