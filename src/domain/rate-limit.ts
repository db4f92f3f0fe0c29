/** A limit of requests, and where a subject stands in it. */
export interface LimitPolicy {
  /** As it stands in the `RateLimit-Policy` field: `user`, `key`, `address`, `quota`. */
  readonly name: string;
  /** Requests in a window. */
  readonly limit: number;
  readonly windowSeconds: number;
  /** What a refusal says; `rate_limited` when absent. */
  readonly refusal?: { readonly code: string; readonly message: string };
  /** When the window ends at a fixed time (ms since the epoch), as a day does; it may have begun late. */
  readonly endsAt?: number;
}

export interface LimitState {
  readonly policy: LimitPolicy;
  /** Requests left in this window. */
  readonly remaining: number;
  /** Seconds until the window ends. */
  readonly resetSeconds: number;
}
