import { Model, snakeCaseMappers } from 'objection';
import type { Scope } from '../../src/domain/scopes.ts';

/** An API key. The secret is stored nowhere, only its SHA-256. */
export class ApiKeyRow extends Model {
  static override readonly tableName = 'api_keys';
  static override readonly columnNameMappers = snakeCaseMappers();

  declare id: string;
  declare userId: string;
  declare name: string;
  /** First characters of the secret, to tell keys apart. */
  declare prefix: string;
  declare hash: Buffer;
  declare scopes: readonly Scope[];
  /** Requests a UTC day; null for any number. */
  declare dailyQuota: number | null;
  declare createdAt: Date;
  declare expiresAt: Date | null;
  /** Written twice a minute. */
  declare lastUsedAt: Date | null;
  declare revokedAt: Date | null;
}
