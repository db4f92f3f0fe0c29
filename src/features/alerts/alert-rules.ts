import type { AlertRule, AlertSubject } from './alert.ts';
import { parseAmount } from '../portfolios/ledger/amount.ts';
import { ValidationError, type FieldProblem } from '../../domain/errors.ts';

/** Bounds of a change in per cent: nothing falls by more than all of it. */
const leastChange = -100n * 10n ** 18n;
const mostChange = 1_000_000n * 10n ** 18n;
const hundred = 100n * 10n ** 18n;

/**
 * Checks what the fields of an alert say together.
 * @throws {ValidationError} that names the fields as clients know them.
 */
export function confirmRule(alert: AlertRule & Pick<AlertSubject, 'kind' | 'windowSeconds'>): void {
  const problems = [...windowProblems(alert), ...thresholdProblems(alert), ...hysteresisProblems(alert)];
  if (problems.length > 0) throw new ValidationError('The request breaks a rule', problems);
}

function windowProblems({
  kind,
  windowSeconds,
}: Pick<AlertSubject, 'kind' | 'windowSeconds'>): FieldProblem[] {
  if (kind === 'change' && windowSeconds === null)
    return [{ field: 'window', message: 'is required for a change' }];
  if (kind !== 'change' && windowSeconds !== null)
    return [{ field: 'window', message: 'belongs to alerts of kind change' }];
  return [];
}

function thresholdProblems({ kind, threshold }: AlertRule & Pick<AlertSubject, 'kind'>): FieldProblem[] {
  const amount = amountOfText(threshold);
  if (kind !== 'change') return amount > 0n ? [] : [{ field: 'threshold', message: 'must be more than 0' }];
  const isUsable = amount !== 0n && amount > leastChange && amount <= mostChange;
  return isUsable
    ? []
    : [{ field: 'threshold', message: 'must be more than -100, at most 1000000, and not 0 per cent' }];
}

/** An alert that could never be armed again would be none. */
function hysteresisProblems({
  kind,
  threshold,
  hysteresis,
  hysteresisUnit,
}: AlertRule & Pick<AlertSubject, 'kind'>): FieldProblem[] {
  const size = amountOfText(hysteresis);
  const field = `hysteresis.${hysteresisUnit}`;
  if (size < 0n) return [{ field, message: 'must not be less than 0' }];
  if (hysteresisUnit === 'percent')
    return size < hundred ? [] : [{ field, message: 'must be less than 100' }];
  if (kind !== 'change' && size >= amountOfText(threshold))
    return [{ field, message: 'must be less than the threshold' }];
  return size <= mostChange || kind !== 'change' ? [] : [{ field, message: 'must be at most 1000000' }];
}

function amountOfText(text: string): bigint {
  const amount = parseAmount(text);
  if (amount === undefined) throw new RangeError('not a decimal of the books');
  return amount;
}
