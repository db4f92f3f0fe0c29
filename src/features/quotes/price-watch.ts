import type { QuoteReading } from '../../domain/cached-quote.ts';
import type { Frame } from '../../platform/realtime/frame.ts';

/** What somebody watches. */
export interface Watch {
  readonly currency: string;
  /** Without repetition. */
  readonly assetIds: readonly string[];
  /** Least time (ms) between two updates. */
  readonly intervalMs: number;
  /** Who is charged for what it costs to keep the assets fresh. */
  readonly requester?: string | undefined;
}

/** News of a group. */
export interface PriceUpdate {
  /** Rises with every update of this process. */
  readonly seq: number;
  /** Assets that have changed. */
  readonly assetIds: readonly string[];
  /** The changed assets as an event `price`, for all clients that miss nothing else. */
  readonly frame: () => Frame;
}

/** What a client has of a watch. */
export interface Watching {
  /** Readings of all watched assets now. */
  readings(): readonly QuoteReading[];
  /** JSON list of these assets as they are now. */
  jsonOf(assetIds: readonly string[]): string;
  /** An event `price` with these assets as they are now. */
  frameOf(assetIds: readonly string[]): Frame;
  /** Watched assets whose newest reading has not gone out yet: who leaves now would miss it. */
  pending(): readonly string[];
  close(): void;
}
