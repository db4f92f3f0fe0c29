import type { Knex } from 'knex';
import { v7 as uuidv7 } from 'uuid';
import type { Alert, AlertRule, AlertSubject } from '../alert.ts';
import { ConflictError, NotFoundError } from '../../../domain/errors.ts';
import { orUnavailable } from '../../../../db/outage.ts';

/** The fields of an alert that its owner sets, and its initial state. */
export interface NewAlert extends AlertRule, AlertSubject {
  readonly url: string | null;
  readonly note: string | null;
  readonly userId: string;
  readonly state: Alert['state'];
}

/** What an owner may change; `state` where the change resets the alert or disables it. */
export type AlertUpdate = Partial<AlertRule & Pick<Alert, 'windowSeconds' | 'url' | 'note' | 'state'>>;

export type AlertQueries = ReturnType<typeof createAlertQueries>;

/**
 * Alerts in Postgres, for their owners. Deleted ones are treated as missing. All methods throw {@link UnavailableError} when it
 * does not answer.
 */
export function createAlertQueries(knex: Knex) {
  const living = () => knex('alerts').whereNull('deleted_at');
  const columns = knex.raw(alertColumns);
  return {
    /**
     * @throws {ConflictError} (`alert_limit`) the user has `limit` of them.
     * @throws {NotFoundError} (`portfolio_not_found`) the portfolio was deleted meanwhile.
     */
    insert: (alert: NewAlert, limit: number): Promise<Alert> =>
      orUnavailable(knex.transaction((trx) => insert(trx, alert, limit))),

    find: (id: string, userId: string): Promise<Alert | undefined> =>
      orUnavailable(living().where({ id, user_id: userId }).first<Alert | undefined>(columns)),

    /** A page of a user's alerts, the newest first. */
    async page({
      userId,
      kind,
      state,
      assetId,
      portfolioId,
      offset,
      limit,
    }: {
      readonly userId: string;
      readonly kind?: Alert['kind'] | undefined;
      readonly state?: Alert['state'] | undefined;
      readonly assetId?: string | undefined;
      readonly portfolioId?: string | undefined;
      readonly offset: number;
      readonly limit: number;
    }): Promise<{ readonly alerts: readonly Alert[]; readonly total: number }> {
      const found = living().where({
        user_id: userId,
        ...(kind === undefined ? {} : { kind }),
        ...(state === undefined ? {} : { state }),
        ...(assetId === undefined ? {} : { asset_id: assetId }),
        ...(portfolioId === undefined ? {} : { portfolio_id: portfolioId }),
      });
      const [alerts, counted] = await orUnavailable(
        Promise.all([
          found.clone().orderBy('id', 'desc').offset(offset).limit(limit).select<Alert[]>(columns),
          found.clone().count<{ count: number }[]>({ count: '*' }),
        ]),
      );
      return { alerts, total: counted[0]?.count ?? 0 };
    },

    /** Changes an alert that still has this version; undefined when it has another, or there is none. */
    async change(
      { id, userId, version }: Pick<Alert, 'id' | 'userId' | 'version'>,
      change: AlertUpdate,
    ): Promise<Alert | undefined> {
      const [changed] = await orUnavailable(
        living()
          .where({ id, user_id: userId, version })
          .update({
            ...changedColumns(change),
            version: version + 1,
            updated_at: knex.raw('clock_timestamp()'),
          })
          .returning<Alert[]>(columns as never),
      );
      return changed;
    },

    /** Whether there was one with this version. */
    async remove({ id, userId, version }: Pick<Alert, 'id' | 'userId' | 'version'>): Promise<boolean> {
      const gone = knex.raw('clock_timestamp()');
      const removed = await orUnavailable(
        living()
          .where({ id, user_id: userId, version })
          .update({ deleted_at: gone, updated_at: gone, version: version + 1 }),
      );
      return removed > 0;
    },
  };
}

const decimal = (column: string): string => `trim_scale(alerts.${column})::text`;

/** Columns of an {@link Alert}; Postgres would keep the zeros of a decimal's scale. */
export const alertColumns = `alerts.id, alerts.user_id as "userId", alerts.kind, alerts.asset_id as "assetId",
  alerts.portfolio_id as "portfolioId", alerts.currency, alerts.direction, ${decimal('threshold')} as threshold,
  alerts.window_seconds as "windowSeconds", ${decimal('hysteresis')} as hysteresis,
  alerts.hysteresis_unit as "hysteresisUnit", alerts.repeat, alerts.fire_if_true as "fireIfTrue", alerts.url, alerts.note,
  alerts.state, ${decimal('last_value')} as "lastValue", alerts.observed_at as "observedAt", alerts.fired_at as "firedAt",
  alerts.fired_count as "firedCount", alerts.not_evaluated as "notEvaluated", alerts.version,
  alerts.created_at as "createdAt", alerts.updated_at as "updatedAt"`;

async function insert(trx: Knex, alert: NewAlert, limit: number): Promise<Alert> {
  // Of two that are created at once, the second counts the first.
  await trx('users').where({ id: alert.userId }).forNoKeyUpdate().first('id');
  if (alert.portfolioId !== null) {
    // It cannot be deleted before the commit, and the transaction that deletes it then finds the alert.
    const id = alert.portfolioId;
    const held = await trx('portfolios').where({ id }).whereNull('deleted_at').forShare().select('id');
    if (held.length === 0) throw new NotFoundError('Portfolio not found', 'portfolio_not_found');
  }
  const [counted] = await trx('alerts')
    .where({ user_id: alert.userId })
    .whereNull('deleted_at')
    .count<{ count: number }[]>({ count: '*' });
  if ((counted?.count ?? 0) >= limit)
    throw new ConflictError(`You have ${limit} alerts, the most allowed`, 'alert_limit');
  const now = trx.raw('clock_timestamp()');
  const [made] = await trx('alerts')
    .insert({
      id: uuidv7(),
      user_id: alert.userId,
      kind: alert.kind,
      asset_id: alert.assetId,
      portfolio_id: alert.portfolioId,
      currency: alert.currency,
      ...changedColumns(alert),
      created_at: now,
      updated_at: now,
    })
    .returning<Alert[]>(trx.raw(alertColumns) as never);
  if (made === undefined) throw new Error('an inserted alert was not returned');
  return made;
}

const columnOf = {
  direction: 'direction',
  threshold: 'threshold',
  hysteresis: 'hysteresis',
  hysteresisUnit: 'hysteresis_unit',
  repeat: 'repeat',
  fireIfTrue: 'fire_if_true',
  windowSeconds: 'window_seconds',
  url: 'url',
  note: 'note',
  state: 'state',
} as const satisfies Record<keyof AlertUpdate, string>;

/** A reset alert forgets what was observed before. */
function changedColumns(change: AlertUpdate): Record<string, unknown> {
  const columns = Object.entries(columnOf).flatMap(([field, column]) => {
    const value = change[field as keyof AlertUpdate];
    return value === undefined ? [] : [[column, value] as const];
  });
  const isStarted = change.state !== undefined;
  return { ...Object.fromEntries(columns), ...(isStarted ? { observed_at: null, not_evaluated: null } : {}) };
}
