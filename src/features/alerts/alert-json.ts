/** Alerts and firings as clients see them: in answers, on streams and in webhooks. */
import type { Alert } from './alert.ts';
import type { Seen } from './seen.ts';

/** An alert in an answer. */
export function alertJson(alert: Alert): object {
  return { ...shownAlert(alert), url: alert.url };
}

function shownAlert(alert: Alert): object {
  return {
    id: alert.id,
    kind: alert.kind,
    ...(alert.assetId === null ? {} : { coin: alert.assetId }),
    ...(alert.portfolioId === null ? {} : { portfolio_id: alert.portfolioId }),
    currency: alert.currency,
    direction: alert.direction,
    threshold: alert.threshold,
    ...(alert.windowSeconds === null ? {} : { window: alert.windowSeconds }),
    hysteresis: { [alert.hysteresisUnit]: alert.hysteresis },
    repeat: alert.repeat,
    fire_if_true: alert.fireIfTrue,
    note: alert.note,
    state: alert.state,
    not_evaluated: alert.notEvaluated,
    last_value: alert.lastValue,
    observed_at: alert.observedAt,
    fired_at: alert.firedAt,
    fired_count: alert.firedCount,
    version: alert.version,
    created_at: alert.createdAt,
    updated_at: alert.updatedAt,
  };
}

interface Firing {
  readonly id: string;
  readonly at: Date;
  readonly seen: Seen;
}

/** The event of a firing. The alert is told as it is after it, without where its webhook goes. */
export function firingEvent(alert: Alert, { id, at, seen }: Firing): object {
  const { asOf, receivedAt, source, state } = seen.quote;
  return {
    id,
    at,
    alert: shownAlert(alert),
    value: seen.text,
    threshold: alert.threshold,
    quote: { as_of: asOf, received_at: new Date(receivedAt), source, state },
    ...(seen.reference === undefined ? {} : { reference: seen.reference }),
  };
}
