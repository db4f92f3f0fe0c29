import type { Alert, NotEvaluated } from '../alert.ts';

/** Columns of an alert, for statements that return rows. */
export interface AlertRow {
  readonly id: string;
  readonly user_id: string;
  readonly kind: Alert['kind'];
  readonly asset_id: string | null;
  readonly portfolio_id: string | null;
  readonly currency: string;
  readonly direction: Alert['direction'];
  readonly threshold: string;
  readonly window_seconds: number | null;
  readonly hysteresis: string;
  readonly hysteresis_unit: Alert['hysteresisUnit'];
  readonly repeat: Alert['repeat'];
  readonly fire_if_true: boolean;
  readonly url: string | null;
  readonly note: string | null;
  readonly state: Alert['state'];
  readonly last_value: string | null;
  readonly observed_at: Date | null;
  readonly fired_at: Date | null;
  readonly fired_count: number;
  readonly not_evaluated: NotEvaluated | null;
  readonly version: number;
  readonly created_at: Date;
  readonly updated_at: Date;
  readonly deleted_at: Date | null;
}

/** A row as the rest of the program knows it. */
export function toAlert(row: AlertRow): Alert {
  return {
    id: row.id,
    userId: row.user_id,
    kind: row.kind,
    assetId: row.asset_id,
    portfolioId: row.portfolio_id,
    currency: row.currency,
    direction: row.direction,
    threshold: canonical(row.threshold),
    windowSeconds: row.window_seconds,
    hysteresis: canonical(row.hysteresis),
    hysteresisUnit: row.hysteresis_unit,
    repeat: row.repeat,
    fireIfTrue: row.fire_if_true,
    url: row.url,
    note: row.note,
    state: row.state,
    lastValue: row.last_value === null ? null : canonical(row.last_value),
    observedAt: row.observed_at,
    firedAt: row.fired_at,
    firedCount: row.fired_count,
    notEvaluated: row.not_evaluated,
    version: row.version,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  };
}

/** Postgres keeps the zeros of a column's scale. */
function canonical(numeric: string): string {
  return numeric.includes('.') ? numeric.replace(/\.?0+$/, '') : numeric;
}
