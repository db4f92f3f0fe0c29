/** An asset in a currency as CoinGecko's API describes it: a row of its `/coins/markets`. */
export interface MarketRow {
  readonly assetId: string;
  /** Quote currency in lower case. */
  readonly currency: string;
  /** When we received it, in milliseconds since the Unix epoch. */
  readonly receivedAt: number;
  /** The row as JSON text, as the provider sent it; its numbers are finite or null. */
  readonly json: string;
}
