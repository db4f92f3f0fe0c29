import type { CostBasisMethod } from '../../../domain/bookkeeping.ts';

/** A user's portfolio: how its books are kept, and up to which version they are current. */
export interface Portfolio {
  /** UUID v7. */
  readonly id: string;
  readonly userId: string;
  readonly name: string;
  /** Quote currency of all values in it, such as `usd`. Fixed from its first transaction on. */
  readonly baseCurrency: string;
  readonly method: CostBasisMethod;
  /** IANA time zone of its days. */
  readonly timeZone: string;
  /** Rises with every change of its own fields; the ETag is derived from it. */
  readonly version: number;
  /** Rises with every change of its transactions or of how the books are kept. */
  readonly booksVersion: number;
  /** The `booksVersion` of the derived tables; they are current when both are equal. */
  readonly bookedVersion: number;
  readonly createdAt: Date;
  readonly updatedAt: Date;
}
