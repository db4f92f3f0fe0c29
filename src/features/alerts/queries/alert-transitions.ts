/**
 * State transitions of alerts. A transition names the version that it starts from, so that exactly one of all processes that
 * see the same value makes it; the firing and its webhook are stored in the same transaction, so that neither is lost or
 * duplicated.
 */
import type { Knex } from 'knex';
import { v7 as uuidv7 } from 'uuid';
import { minBetweenFiringsMs, type Alert, type FiringQuote } from '../alert.ts';
import { alertColumns } from './alerts.ts';
import { orUnavailable } from '../../../../db/outage.ts';
import type { WebhookService } from '../../webhooks/webhook-service.ts';

/** The transition of one alert to another state. */
export interface AlertTransition {
  readonly id: string;
  readonly userId: string;
  /** The transition is made only if the alert still has this version. */
  readonly version: number;
  readonly to: 'armed' | 'fired';
  /** Decimal text. */
  readonly value: string;
  readonly quote: FiringQuote;
  /** Builds the event of a firing from the alert after the transition. */
  readonly describe: (alert: Alert, firing: { readonly id: string; readonly at: Date }) => object;
}

/** The outcome of transitions. */
export interface StoredTransitions {
  /** Alerts that changed their state, after the change. */
  readonly alerts: readonly Alert[];
  /** Owners of alerts that fired. */
  readonly firedUserIds: readonly string[];
  /** Webhooks to be sent. */
  readonly deliveryIds: readonly string[];
}

export type AlertTransitionQueries = ReturnType<typeof createAlertTransitionQueries>;

type Outbox = Pick<WebhookService, 'enqueueIn'>;

/** Builds the queries for state transitions. */
export function createAlertTransitionQueries({
  knex,
  outbox,
}: {
  readonly knex: Knex;
  readonly outbox: Outbox;
}) {
  return {
    /** Makes transitions, at most one per alert, all or none. @throws {UnavailableError} Postgres does not answer. */
    transition: (moves: readonly AlertTransition[]): Promise<StoredTransitions> =>
      orUnavailable(knex.transaction((trx) => storeTransitions(trx, moves, outbox))),
  };
}

async function storeTransitions(
  trx: Knex,
  moves: readonly AlertTransition[],
  outbox: Outbox,
): Promise<StoredTransitions> {
  const firing = moves.filter(({ to }) => to === 'fired');
  const userIds = [...new Set(firing.map(({ userId }) => userId))].sort();
  if (userIds.length > 0) await trx.raw(lockSql, [userIds] as never);
  const { rows: alerts } = await trx.raw<{ rows: Alert[] }>(transitionSql, [
    moves.map(({ id }) => id),
    moves.map(({ version }) => version),
    moves.map(({ to }) => to),
    moves.map(({ value }) => value),
    moves.map(({ quote }) => quote.receivedAt),
    minBetweenFiringsMs,
  ] as never);
  const byId = new Map(firing.map((transition) => [transition.id, transition]));
  const fired = alerts.flatMap((alert) => {
    const transition = byId.get(alert.id);
    return transition === undefined ? [] : [{ alert, transition }];
  });
  const deliveryIds = fired.length === 0 ? [] : await record(trx, fired, outbox);
  return { alerts, firedUserIds: [...new Set(fired.map(({ alert }) => alert.userId))], deliveryIds };
}

/** Stores firings; returns the ids of the webhooks. */
async function record(
  trx: Knex,
  fired: readonly { readonly alert: Alert; readonly transition: AlertTransition }[],
  outbox: Outbox,
): Promise<string[]> {
  const nextId = await idsAfterNewest(trx, [...new Set(fired.map(({ alert }) => alert.userId))]);
  const deliveryIds: string[] = [];
  const rows: object[] = [];
  for (const { alert, transition } of fired) {
    const at = alert.firedAt ?? new Date();
    const id = nextId(alert.userId, at);
    const payload = transition.describe(alert, { id, at });
    rows.push({
      id,
      alert_id: alert.id,
      user_id: alert.userId,
      at,
      value: transition.value,
      as_of: transition.quote.asOf,
      received_at: new Date(transition.quote.receivedAt),
      source: transition.quote.source,
      body: JSON.stringify(payload),
    });
    const { url, userId } = alert;
    if (url !== null)
      deliveryIds.push(await outbox.enqueueIn(trx, { userId, url, type: 'alert.fired', payload }));
  }
  await trx('alert_firings').insert(rows);
  return deliveryIds;
}

/**
 * Makes ids that sort after all existing ids of their user. The caller holds the user's lock until the commit, so ids are
 * ordered as firings become visible: a reader who has read up to an id has missed nothing before it.
 */
async function idsAfterNewest(
  trx: Knex,
  userIds: readonly string[],
): Promise<(userId: string, at: Date) => string> {
  const { rows } = await trx.raw<{ rows: { user_id: string; id: string }[] }>(newestSql, [userIds] as never);
  const lastMs = new Map(rows.map(({ user_id: userId, id }) => [userId, msOf(id)]));
  return (userId, at) => {
    const msecs = Math.max(at.getTime(), (lastMs.get(userId) ?? 0) + 1);
    lastMs.set(userId, msecs);
    return uuidv7({ msecs });
  };
}

/** The time in a UUID of version 7. */
function msOf(id: string): number {
  return Number.parseInt(id.slice(0, 8) + id.slice(9, 13), 16);
}

/** Locks in the given order, which is the same for all processes, to avoid deadlocks. */
const lockSql = `select pg_advisory_xact_lock(hashtextextended('alerts:' || user_id, 0)) from unnest(?::text[]) as asked (user_id)`;

const newestSql = `select user_id, newest.id from unnest(?::uuid[]) as asked (user_id)
  cross join lateral (select id from alert_firings where alert_firings.user_id = asked.user_id order by id desc limit 1)
    as newest`;

/**
 * A value received before the last state transition changes nothing, and neither does one for a deleted account; a value
 * received right after a firing does not cause another one.
 */
const transitionSql = `with wanted as (
    select * from unnest(?::uuid[], ?::integer[], ?::text[], ?::numeric[], ?::float8[])
      as wanted (id, version, state, value, received_ms)),
  locked as (
    select alerts.id from alerts join wanted using (id)
    where alerts.version = wanted.version and alerts.deleted_at is null
      and (alerts.observed_at is null or alerts.observed_at <= to_timestamp(wanted.received_ms / 1000))
      and (wanted.state <> 'fired' or alerts.fired_at is null
        or extract(epoch from alerts.fired_at) * 1000 + ? <= wanted.received_ms)
      and exists (select 1 from users where users.id = alerts.user_id and users.deleted_at is null)
    order by alerts.id for update of alerts)
  update alerts set state = wanted.state, last_value = wanted.value,
    observed_at = to_timestamp(wanted.received_ms / 1000),
    fired_at = case when wanted.state = 'fired' then clock_timestamp() else fired_at end,
    fired_count = fired_count + case when wanted.state = 'fired' then 1 else 0 end,
    not_evaluated = null, version = alerts.version + 1, updated_at = clock_timestamp()
  from wanted join locked using (id)
  where alerts.id = wanted.id and alerts.version = wanted.version
  returning ${alertColumns}`;
