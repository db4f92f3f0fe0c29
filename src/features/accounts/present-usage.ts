import type { DailyUsage, UsageCounts, UsageOfKey } from './queries/usage.ts';

/** Counts as clients see them. */
export function presentCounts({ requests, jobs, upstreamCalls }: UsageCounts): Record<string, number> {
  return { requests, jobs, upstream_calls: upstreamCalls };
}

/** A day of one's own usage with one key, or without. */
export function presentDay(usage: DailyUsage): Record<string, unknown> {
  return { day: usage.day, key_id: usage.keyId, ...presentCounts(usage) };
}

/** The usage of somebody with one key, or without, as admins see it. */
export function presentUsageOfKey(usage: UsageOfKey): Record<string, unknown> {
  const { userId, username, keyId, keyPrefix } = usage;
  return { user_id: userId, username, key_id: keyId, key_prefix: keyPrefix, ...presentCounts(usage) };
}
