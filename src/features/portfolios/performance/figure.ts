/** A statistic, or why there is none. Statistics are doubles: they are never money. */
export type Figure = { readonly value: number } | { readonly value: null; readonly reason: FigureReason };

/** Why there is no figure. */
export type FigureReason =
  | 'no_flows'
  | 'flows_of_one_sign'
  | 'flows_of_one_day'
  | 'no_rate_found'
  | 'too_few_days'
  | 'span_of_a_year_or_less'
  | 'no_capital'
  | 'no_variation'
  | 'all_was_lost'
  | 'value_unknown'
  | 'no_prices'
  | 'more_withdrawn_than_held';

/** A figure that there is. */
export function figure(value: number): Figure {
  return { value };
}

/** No figure, and why. */
export function noFigure(reason: FigureReason): Figure {
  return { value: null, reason };
}
