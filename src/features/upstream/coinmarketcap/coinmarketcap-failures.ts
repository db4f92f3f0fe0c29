/** What an answer of CoinMarketCap means: its envelope tells an error by a code of its own, on a status of 200 too. */
import {
  byStatus,
  cdnCode,
  type FailureContext,
  isRecord,
  isThrottled,
  rateLimitOf,
  type RawAnswer,
} from '../answers.ts';
import type { Clock } from '../../../platform/concurrency/clock.ts';
import { type ProviderError, ProviderKeyError, ProviderRejectedError } from '../provider-errors.ts';

const minuteMs = 60_000;
const dayMs = 86_400_000;

/**
 * How long nothing can be had after a code (ms). The limit of a minute and that of an address end within a minute, that
 * of a day at midnight UTC. A month may begin on any day of an account's choice, so after a month's limit it is asked again
 * at the next midnight at the latest.
 */
const waitOfCode: Readonly<Record<number, (clock: Clock) => number>> = {
  1008: () => minuteMs,
  1009: untilMidnight,
  1010: untilMidnight,
  1011: () => minuteMs,
};

function untilMidnight(clock: Clock): number {
  return dayMs - (clock.now() % dayMs);
}

/** Key missing, wrong, not activated, not paid for, or of a plan that has not this call. */
const keyCodes: ReadonlySet<number> = new Set([1001, 1002, 1003, 1004, 1005, 1006, 1007]);

/** The error in the envelope; undefined when it tells of none, and when there is no envelope. */
function errorInEnvelope(body: unknown):
  | {
      readonly code: number;
      readonly message: string;
    }
  | undefined {
  const status = isRecord(body) && isRecord(body['status']) ? body['status'] : undefined;
  const code = Number(status?.['error_code'] ?? Number.NaN);
  if (!Number.isInteger(code) || code === 0) return undefined;
  const message = status?.['error_message'];
  return { code, message: typeof message === 'string' ? message : '' };
}

/** The error that an answer stands for; undefined when nothing about it is known to be wrong. */
export function failureOf(
  answer: RawAnswer,
  body: unknown,
  context: FailureContext,
): ProviderError | undefined {
  const { status, text } = answer;
  const said = errorInEnvelope(body);
  const code = said?.code ?? cdnCode(text, body);
  const waits = code === undefined ? undefined : waitOfCode[code];
  if (waits !== undefined || [status, code].includes(429) || code === 1015 || isThrottled(text)) {
    return rateLimitOf(answer, context, waits?.(context.clock));
  }
  if (status === 200 && code === undefined) return undefined;
  return refusalOf(status, { code, message: context.redact(said?.message ?? '') }, context.provider);
}

function refusalOf(
  status: number,
  { code, message }: { code: number | undefined; message: string },
  provider: string,
): ProviderError {
  const what = [`${provider} answered ${status}`, code, message.slice(0, 200)].filter(Boolean).join(': ');
  const options = { provider, providerStatus: status };
  if (code !== undefined && keyCodes.has(code)) return new ProviderKeyError(what, options);
  if (code === 1020) return new ProviderRejectedError(what, options);
  return byStatus(status === 200 ? (code ?? 200) : status, what, options);
}
