import { Model } from 'objection';

/** Somebody with an account. */
export class User extends Model {
  static override readonly tableName = 'users';

  declare id: string;
  declare username: string;
  declare email: string;
  declare password_hash: string;
  declare role: 'user' | 'admin';
  declare generation: number;
  declare created_at: Date;
  declare updated_at: Date;
  declare deleted_at: Date | null;
}
