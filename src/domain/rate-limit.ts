/** A rate limit, and how much of it a subject has used. */
export interface LimitPolicy {
  /** Name in the `RateLimit-Policy` field: `user`, `key`, `address`, `quota`. */
  readonly name: string;
  /** Requests in a window. */
  readonly limit: number;
  readonly windowSeconds: number;
  /** Code of the refusal; `rate_limited` if absent. */
  readonly refusal?: { readonly code: string; readonly message: string };
  /** When the window ends at a fixed time (ms since the epoch), as a day does; it may have started late. */
  readonly endsAt?: number;
}

export interface LimitState {
  readonly policy: LimitPolicy;
  /** Requests left in this window. */
  readonly remaining: number;
  /** Seconds until the window ends. */
  readonly resetSeconds: number;
}
