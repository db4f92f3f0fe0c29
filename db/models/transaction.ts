import type { TransactionType } from '../../src/domain/bookkeeping.ts';
import { Model } from 'objection';

/** A transaction of a portfolio. Decimals are text, as Postgres writes them. */
export class TransactionRow extends Model {
  static override readonly tableName = 'transactions';
  static override readonly idColumn = ['portfolio_id', 'id'];

  declare id: string;
  declare portfolio_id: string;
  declare type: TransactionType;
  /** Generated from the type. */
  declare rank: number;
  declare executed_at: Date;
  declare sequence: number;
  declare received_asset: string | null;
  declare received_quantity: string | null;
  declare given_asset: string | null;
  declare given_quantity: string | null;
  declare value: string;
  declare is_market_value: boolean;
  declare fee_asset: string | null;
  declare fee_quantity: string | null;
  declare fee_value: string | null;
  declare is_market_fee: boolean;
  declare note: string | null;
  declare import_id: string | null;
  declare fingerprint: string | null;
  declare version: number;
  declare created_at: Date;
  declare updated_at: Date;
}
