/** A limit of requests, and where a subject stands in it. */
export interface LimitPolicy {
  /** As it stands in the `RateLimit-Policy` field: `user`, `key`, `address`, `quota`. */
  readonly name: string;
  /** Requests in a window. */
  readonly limit: number;
  readonly windowSeconds: number;
}

export interface LimitState {
  readonly policy: LimitPolicy;
  /** Requests left in this window. */
  readonly remaining: number;
  /** Seconds until the window ends. */
  readonly resetSeconds: number;
}
