import type { CostBasisMethod } from '../../src/domain/bookkeeping.ts';
import { Model } from 'objection';

/** A user's portfolio. Deleted ones keep their row for a while. */
export class PortfolioRow extends Model {
  static override readonly tableName = 'portfolios';

  declare id: string;
  declare user_id: string;
  declare name: string;
  declare base_currency: string;
  declare method: CostBasisMethod;
  declare time_zone: string;
  declare version: number;
  declare books_version: number;
  declare booked_version: number;
  declare transaction_count: number;
  declare created_at: Date;
  declare updated_at: Date;
  declare deleted_at: Date | null;
}
