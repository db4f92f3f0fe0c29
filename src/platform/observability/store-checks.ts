import { databaseTrouble } from '../../../db/schema.ts';
import type { Platform } from '../platform.ts';
import { redisTrouble } from '../redis/rights.ts';
import { HealthReason, type HealthCheck } from './health.ts';

/**
 * The checks of Postgres and Redis: that they answer, and that they accept what this version needs. A failed check states its
 * reason.
 */
export function storeChecks({ knex, redis, keys }: Pick<Platform, 'knex' | 'redis' | 'keys'>): HealthCheck[] {
  const refuse = (reason: string | undefined): undefined => {
    if (reason !== undefined) throw new HealthReason(reason);
  };
  return [
    { name: 'postgres', check: async () => refuse(await databaseTrouble(knex)) },
    {
      name: 'redis',
      async check() {
        const { reason, remark } = await redisTrouble(redis, keys);
        refuse(reason);
        return remark;
      },
    },
  ];
}
