/**
 * An alert: a user wants to be notified when a value crosses a threshold. Its states:
 *
 *   pending   nothing is known of it yet, or its condition has held ever since it was created: it is not armed
 *   armed     fires when the value reaches the threshold
 *   fired     has fired; a repeating alert is armed again when the value has moved back by more than the hysteresis
 *   disabled  by its owner
 */

/** What is watched: the price of an asset, its change over a window in per cent, or the value of a portfolio. */
export const alertKinds = ['price', 'change', 'portfolio_value'] as const;

/** On which side of the threshold the condition holds; the threshold itself is included. */
export const alertDirections = ['above', 'below'] as const;

/** Whether an alert fires at one crossing only or at every one. */
export const alertRepeats = ['once', 'every'] as const;

export const alertStates = ['pending', 'armed', 'fired', 'disabled'] as const;

/** Windows of a change, in seconds: 5, 15 and 30 minutes, 1, 4, 6, 12 and 24 hours, 3 and 7 days. */
export const alertWindows = [
  300, 900, 1_800, 3_600, 14_400, 21_600, 43_200, 86_400, 259_200, 604_800,
] as const;

/**
 * Why an alert cannot be evaluated at present:
 * - `no_quote`: the price source does not know the asset or has no price for it;
 * - `no_reference`: no price from the start of the window is stored;
 * - `books_behind`: the books of the portfolio are being updated;
 * - `incomplete`: an asset of the portfolio has no quote;
 * - `currency_changed`: the base currency of the portfolio has changed since the alert was created;
 * - `too_large`: the portfolio has more assets than can be watched.
 */
export type NotEvaluated =
  'no_quote' | 'no_reference' | 'books_behind' | 'incomplete' | 'currency_changed' | 'too_large';

/** The part of an alert that is compared with values. Decimals are canonical text. */
export interface AlertRule {
  readonly direction: (typeof alertDirections)[number];
  /** A price or a value in the currency, or per cent. */
  readonly threshold: string;
  /** How far a value must move back. */
  readonly hysteresis: string;
  /** Per cent of the threshold, or a difference in its unit. */
  readonly hysteresisUnit: 'percent' | 'absolute';
  readonly repeat: (typeof alertRepeats)[number];
  /** Fires at the first value if the condition already holds. */
  readonly fireIfTrue: boolean;
}

/** What an alert is about. */
export interface AlertSubject {
  readonly kind: (typeof alertKinds)[number];
  /** Null for a portfolio's value. */
  readonly assetId: string | null;
  /** Only for a portfolio's value. */
  readonly portfolioId: string | null;
  readonly currency: string;
  /** Only for a change. */
  readonly windowSeconds: number | null;
}

export interface Alert extends AlertRule, AlertSubject {
  /** UUID v7. */
  readonly id: string;
  readonly userId: string;
  /** URL of the webhook; null for none. */
  readonly url: string | null;
  readonly note: string | null;
  readonly state: (typeof alertStates)[number];
  /** The value at the last state transition. */
  readonly lastValue: string | null;
  /** When the newest quote behind that value was received (not when its source observed it): an older one changes nothing. */
  readonly observedAt: Date | null;
  readonly firedAt: Date | null;
  readonly firedCount: number;
  readonly notEvaluated: NotEvaluated | null;
  /** Rises with every change of the owner and of the state. */
  readonly version: number;
  readonly createdAt: Date;
  readonly updatedAt: Date;
}

/** The quote that made an alert fire, or a summary of several: the oldest observation, the newest receipt. */
export interface FiringQuote {
  /** ISO 8601; null when no source says. */
  readonly asOf: string | null;
  /** Milliseconds since the epoch. */
  readonly receivedAt: number;
  /** Several are separated by commas. */
  readonly source: string;
  /** `stale` when any of them was. */
  readonly state: 'fresh' | 'stale';
}

/** One firing, as stored. */
export interface AlertFiring {
  /** UUID v7; ids of one user rise in the order in which firings became visible. */
  readonly id: string;
  readonly alertId: string;
  readonly userId: string;
  readonly at: Date;
  /** JSON text of the event. */
  readonly body: string;
}

/**
 * Minimum time (ms) from one firing of an alert to the receipt of the value that causes the next. A crossing within it is not
 * lost: the alert stays armed, and fires at the first later value if its condition then still holds.
 */
export const minBetweenFiringsMs = 10_000;
/** Firings are kept for 90 days (s). */
export const firingsKeptSeconds = 90 * 86_400;

/** An alert as a firing shows it: without the URL of its webhook, which only the routes of alerts add. */
export function shownAlert(alert: Alert): object {
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
