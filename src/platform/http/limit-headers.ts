/**
 * The `RateLimit-Policy` and `RateLimit` fields of draft-ietf-httpapi-ratelimit-headers: structured-field lists with one
 * item for each limit that a request was charged to.
 */
import type { LimitPolicy, LimitState } from '../../domain/rate-limit.ts';

/** `"user";q=6000;w=60` */
export function policyField(limits: readonly LimitState[]): string {
  const [first] = limits;
  return limits.length === 1 && first !== undefined
    ? policyItem(first.policy)
    : limits.map(({ policy }) => policyItem(policy)).join(', ');
}

/** `"user";r=5993;t=37` */
export function limitField(limits: readonly LimitState[]): string {
  const [first] = limits;
  return limits.length === 1 && first !== undefined ? limitItem(first) : limits.map(limitItem).join(', ');
}

/** A deployment has a few policies, and keys with quotas of their own. */
const items = new WeakMap<LimitPolicy, string>();

function policyItem(policy: LimitPolicy): string {
  let item = items.get(policy);
  if (item === undefined) {
    item = `"${policy.name}";q=${policy.limit};w=${policy.windowSeconds}`;
    items.set(policy, item);
  }
  return item;
}

function limitItem({ policy, remaining, resetSeconds }: LimitState): string {
  return `"${policy.name}";r=${remaining};t=${resetSeconds}`;
}
