/** Shapes of the API as they travel: names in snake case, times in ISO 8601. */

/** What the API knows of an asset's price at the time of answering. */
export type QuoteState =
  'fresh' | 'stale' | 'pending' | 'rate_limited' | 'unpriced' | 'unavailable' | 'not_found';

/** The price of one asset. Fields that the price source did not send are null. */
export interface Quote {
  readonly id: string;
  readonly symbol: string | null;
  readonly name: string | null;
  readonly currency: string;
  readonly price: number;
  readonly market_cap: number | null;
  readonly rank: number | null;
  readonly change_24h: number | null;
  readonly change_percent_24h: number | null;
  readonly volume_24h: number | null;
  /** Who gave the price: `coingecko`, `simulated`, `replay`. */
  readonly source: string;
  /** When the source says that it observed the price. */
  readonly as_of: string | null;
  /** When Pricepool received it; its age counts from here. */
  readonly received_at: string;
  readonly fetched_at: string;
  readonly state: 'fresh' | 'stale';
  /** With a stale quote, why there is no newer one. */
  readonly error?: QuoteProblem;
}

/** Why an asset has no quote. */
export interface QuoteProblem {
  readonly code: string;
  readonly message: string;
}

/** An asset without a usable quote. */
export interface MissingQuote {
  readonly id: string;
  readonly state: Exclude<QuoteState, Quote['state'] | 'unpriced'>;
  readonly error: QuoteProblem;
}

/** An asset that the price source lists without a price. */
export interface UnpricedQuote {
  readonly id: string;
  readonly price: null;
  readonly state: 'unpriced';
  readonly reason: string;
}

/** An asset with its quote, or without a usable one; the state tells which. */
export type QuoteRow = Quote | UnpricedQuote | MissingQuote;

/** For portfolios: quantity and value are decimal text; the value is null without a price. */
export type ValuedRow = QuoteRow & { readonly quantity: string; readonly value: string | null };

interface Counts {
  readonly success_count: number;
  readonly error_count: number;
  readonly fetch_time: string;
}

/** The coin that a symbol was resolved to: the largest by market capitalisation with that symbol, or none. */
export type ResolvedSymbol =
  | {
      readonly symbol: string;
      readonly id: string;
      readonly name: string;
      readonly rank: number | null;
      /** Further coins with this symbol. */
      readonly others: number;
    }
  | { readonly symbol: string; readonly id: null; readonly error: QuoteProblem };

/** Result of a bulk job, in the requested order: coins first, then those of the symbols. */
export interface BulkResult extends Counts {
  /** In the order of the symbols, where it was asked for by symbols. */
  readonly resolved?: readonly ResolvedSymbol[];
  readonly portfolio: readonly QuoteRow[];
}

/** Result of a portfolio job with quantities. */
export interface PortfolioResult extends Counts {
  readonly portfolio: readonly ValuedRow[];
  /** Exact decimal text: the sum of the values that are known. */
  readonly total_value: string;
  /** Whether every holding has a value. */
  readonly complete: boolean;
  /** Ids of the assets that the total lacks. */
  readonly missing: readonly string[];
}

export type JobState = 'queued' | 'running' | 'completed' | 'failed' | 'cancelled';

export interface Progress {
  /** Assets that have settled. */
  readonly done: number;
  readonly total: number;
}

/** A job as polled; the result is there once it has completed. */
export interface Job<R = unknown> {
  readonly id: string;
  readonly name: string;
  readonly state: JobState;
  readonly progress: Progress;
  readonly created_at: string;
  readonly started_at: string | null;
  readonly finished_at: string | null;
  readonly eta_seconds: number | null;
  readonly error?: QuoteProblem;
  readonly links: { readonly self: string; readonly events: string };
  readonly result?: R;
}

/** Data of the events that every stream may send, by event type. */
export interface StreamEventData {
  /** The stream lives. On streams of prices: the newest update of the server, and the age of what each source sent last. */
  readonly heartbeat: {
    readonly time: string;
    readonly seq?: number;
    readonly source_age_seconds?: Readonly<Record<string, number>>;
  };
  /** In place of the ticket that the stream was opened with, which expires soon. */
  readonly ticket: StreamTicket;
  /** Last on a stream that the server ends; with `reconnect` the client comes back by itself. */
  readonly end: { readonly reason: string; readonly reconnect: boolean; readonly retry_ms?: number };
  /** The server is about to stop; the client comes back by itself. */
  readonly drain: { readonly retry_ms: number };
  /** The server has too many streams, in all or of this user or address; the client comes back by itself. */
  readonly limit: { readonly limit: string; readonly retry_ms: number };
}

/** First on every connection to a stream of prices; a snapshot of all coins follows. */
export interface PriceHello {
  /** Run of the server; the numbers in the ids of events count within it. */
  readonly epoch: string;
  readonly seq: number;
  readonly recovered: boolean;
  readonly currency: string;
  readonly coins: readonly string[];
  readonly interval_seconds: number;
  readonly server_time: string;
}

/** Data of the events of a stream of prices, by event type. */
export interface PriceEventData extends StreamEventData {
  readonly hello: PriceHello;
  /** First all coins, then those that have changed. */
  readonly price: readonly QuoteRow[];
}

/** Data of the events of a portfolio's stream, by event type. */
export interface PortfolioEventData extends StreamEventData {
  readonly hello: PriceHello;
  readonly portfolio: PortfolioSnapshot;
}

/** What has changed of a portfolio. The total, with quantities only, is that of all holdings. */
export interface PortfolioSnapshot {
  readonly portfolio: readonly (QuoteRow | ValuedRow)[];
  /** Exact decimal text; null while no holding has a price. */
  readonly total_value?: string | null;
  readonly complete?: boolean;
  readonly missing?: readonly string[];
}

export type PriceEvent = EventOf<PriceEventData>;
export type PortfolioEvent = EventOf<PortfolioEventData>;

/** One event of a stream. `id` is what to resume from; events that tell only of the connection have none. */
type EventOf<Data> = {
  [T in keyof Data]: { readonly type: T; readonly id: string | undefined; readonly data: Data[T] };
}[keyof Data];

/** Opens streams, instead of a header, until it expires. */
export interface StreamTicket {
  readonly ticket: string;
  /** Seconds. */
  readonly expires_in: number;
}

/** Data of the events of a job's stream, by event type. */
export interface JobEventData extends StreamEventData {
  /** First on every connection. `recovered: false`: events were missed, and a `reset` follows. */
  readonly hello: {
    readonly job: string;
    readonly state: JobState;
    readonly recovered: boolean;
    readonly progress: Progress;
    readonly server_time: string;
  };
  readonly reset: { readonly job: string; readonly state: JobState; readonly progress: Progress };
  readonly 'job.progress': { readonly job: string } & Progress;
  readonly 'job.coin': {
    readonly job: string;
    readonly id: string;
    readonly state: QuoteState;
    readonly price?: number;
  };
  readonly 'job.completed': {
    readonly job: string;
    readonly state: 'completed';
    readonly progress?: Progress;
  };
  readonly 'job.failed': { readonly job: string; readonly state: 'failed'; readonly error?: QuoteProblem };
  readonly 'job.cancelled': { readonly job: string; readonly state: 'cancelled' };
}

export type JobEvent = EventOf<JobEventData>;

export interface Account {
  readonly id: string;
  readonly username: string;
  readonly email: string;
}

export interface Login {
  /** Access token. */
  readonly token: string;
  /** Good for one use. */
  readonly refresh_token: string;
  /** Life of the access token in seconds. */
  readonly expires_in: number;
  readonly user: Account & { readonly role: 'user' | 'admin' };
}

/** A coin and how much of it is held; quantities as text keep every digit. */
export interface Holding {
  readonly coin: string;
  readonly quantity: string;
}
