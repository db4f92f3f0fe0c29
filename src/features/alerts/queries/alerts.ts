import type { Knex } from 'knex';
import { v7 as uuidv7 } from 'uuid';
import type { Alert, AlertKind, AlertRule, AlertState, AlertSubject } from '../alert.ts';
import { ConflictError, NotFoundError } from '../../../domain/errors.ts';
import { toAlert, type AlertRow } from './alert-rows.ts';
import { orUnavailable } from '../../../../db/outage.ts';

/** What the owner of an alert says of it. */
export interface AlertFields extends AlertRule, AlertSubject {
  readonly url: string | null;
  readonly note: string | null;
}

export interface NewAlert extends AlertFields {
  readonly userId: string;
  readonly state: AlertState;
}

/** What an owner may change; `state` where the change begins the alert anew, or disables it. */
export type AlertChange = Partial<AlertRule & Pick<Alert, 'windowSeconds' | 'url' | 'note' | 'state'>>;

/** A page of a user's alerts. */
export interface AlertFilter {
  readonly userId: string;
  readonly kind?: AlertKind | undefined;
  readonly state?: AlertState | undefined;
  readonly assetId?: string | undefined;
  readonly portfolioId?: string | undefined;
  readonly offset: number;
  readonly limit: number;
}

/** Alerts in Postgres, for their owners. Deleted ones are none. All methods throw {@link UnavailableError} when it does not answer. */
export interface AlertQueries {
  /**
   * @throws {ConflictError} (`alert_limit`) the user has `limit` of them.
   * @throws {NotFoundError} (`portfolio_not_found`) the portfolio was deleted meanwhile.
   */
  insert(alert: NewAlert, limit: number): Promise<Alert>;
  find(id: string, userId: string): Promise<Alert | undefined>;
  /** The newest first. */
  page(filter: AlertFilter): Promise<{ readonly alerts: readonly Alert[]; readonly total: number }>;
  /** Changes an alert that still has this version; undefined when it has another, or there is none. */
  change(which: Pick<Alert, 'id' | 'userId' | 'version'>, change: AlertChange): Promise<Alert | undefined>;
  /** Whether there was one with this version. */
  remove(which: Pick<Alert, 'id' | 'userId' | 'version'>): Promise<boolean>;
}

/** Queries on alerts over one pool. */
export function createAlertQueries(knex: Knex): AlertQueries {
  const living = () => knex<AlertRow>('alerts').whereNull('deleted_at');
  return {
    insert: (alert, limit) => orUnavailable(knex.transaction((trx) => insert(trx, alert, limit))),

    async find(id, userId) {
      const row = await orUnavailable(living().where({ id, user_id: userId }).first());
      return row === undefined ? undefined : toAlert(row);
    },

    async page(filter) {
      const { offset, limit } = filter;
      const [rows, counted] = await orUnavailable(
        Promise.all([
          living().where(columnsOf(filter)).orderBy('id', 'desc').offset(offset).limit(limit).select('*'),
          living().where(columnsOf(filter)).count<{ count: number }[]>({ count: '*' }),
        ]),
      );
      return { alerts: rows.map(toAlert), total: counted[0]?.count ?? 0 };
    },

    async change({ id, userId, version }, change) {
      const rows = await orUnavailable(
        living()
          .where({ id, user_id: userId, version })
          .update({
            ...changedColumns(change),
            version: version + 1,
            updated_at: knex.raw('clock_timestamp()'),
          } as never)
          .returning('*'),
      );
      const [row] = rows;
      return row === undefined ? undefined : toAlert(row);
    },

    async remove({ id, userId, version }) {
      const gone = knex.raw('clock_timestamp()');
      const removed = await orUnavailable(
        living()
          .where({ id, user_id: userId, version })
          .update({ deleted_at: gone, updated_at: gone, version: version + 1 } as never),
      );
      return removed > 0;
    },
  };
}

async function insert(trx: Knex, alert: NewAlert, limit: number): Promise<Alert> {
  // Of two that are made at once, the second counts the first.
  await trx('users').where({ id: alert.userId }).forNoKeyUpdate().first('id');
  if (alert.portfolioId !== null) await holdPortfolio(trx, alert.portfolioId);
  const [counted] = await trx('alerts')
    .where({ user_id: alert.userId })
    .whereNull('deleted_at')
    .count<{ count: number }[]>({ count: '*' });
  if ((counted?.count ?? 0) >= limit)
    throw new ConflictError(`You have ${limit} alerts, as many as one may have`, 'alert_limit');
  const now = trx.raw('clock_timestamp()');
  const rows = await trx('alerts')
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
    .returning<AlertRow[]>('*');
  const [row] = rows;
  if (row === undefined) throw new Error('an inserted alert was not returned');
  return toAlert(row);
}

/** It cannot be deleted before the commit, and whoever deletes it then finds the alert. */
async function holdPortfolio(trx: Knex, id: string): Promise<void> {
  const held = await trx('portfolios').where({ id }).whereNull('deleted_at').forShare().select('id');
  if (held.length === 0)
    throw new NotFoundError('There is no such portfolio, or it is somebody else’s', 'portfolio_not_found');
}

function columnsOf({ userId, kind, state, assetId, portfolioId }: AlertFilter): Record<string, string> {
  return {
    user_id: userId,
    ...(kind === undefined ? {} : { kind }),
    ...(state === undefined ? {} : { state }),
    ...(assetId === undefined ? {} : { asset_id: assetId }),
    ...(portfolioId === undefined ? {} : { portfolio_id: portfolioId }),
  };
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
} as const satisfies Record<keyof AlertChange, string>;

/** An alert that begins anew knows nothing of what was observed before. */
function changedColumns(change: AlertChange): Record<string, unknown> {
  const columns = Object.entries(columnOf).flatMap(([field, column]) => {
    const value = change[field as keyof AlertChange];
    return value === undefined ? [] : [[column, value] as const];
  });
  const isBegun = change.state !== undefined;
  return { ...Object.fromEntries(columns), ...(isBegun ? { observed_at: null, not_evaluated: null } : {}) };
}
