import { Model, snakeCaseMappers } from 'objection';

/** Somebody with an account. */
export class User extends Model {
  static override readonly tableName = 'users';
  static override readonly columnNameMappers = snakeCaseMappers();

  declare id: string;
  declare username: string;
  /** In lower case. */
  declare email: string;
  declare passwordHash: string;
  declare role: 'user' | 'admin';
  /** Of its credentials: those of earlier generations are void. */
  declare generation: number;
  declare createdAt: Date;
  declare updatedAt: Date;
  declare deletedAt: Date | null;
}
