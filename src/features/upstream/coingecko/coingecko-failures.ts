/**
 * What an answer that is not a good one means. CoinGecko and the CDN before it say "too many requests" in at least
 * five forms, two of them without the status 429, so the body is looked at before the status is believed.
 */
import {
  byStatus,
  cdnCode,
  type FailureContext,
  isRecord,
  isThrottled,
  rateLimitOf,
  type RawAnswer,
} from '../answers.ts';
import {
  type ProviderError,
  ProviderKeyError,
  ProviderNotFoundError,
  ProviderRangeError,
  ProviderRejectedError,
} from '../provider-errors.ts';

/** CoinGecko's own codes: wrong key, wrong plan, wrong root URL. The CDN's is 1020: firewall. */
const keyCodes: ReadonlySet<number> = new Set([10_002, 10_005, 10_010, 10_011]);
const timeRangeCode = 10_012;

/** The error code and message in an error body, in each of the places where they were seen. */
function errorInBody(body: unknown): { code: number | undefined; message: string } | undefined {
  if (!isRecord(body)) return undefined;
  const nested = isRecord(body['error']) ? body['error'] : body;
  const status = isRecord(nested['status']) ? nested['status'] : nested;
  const code = [status['error_code'], status['status'], status['code']].map(Number).find(Number.isInteger);
  const message = [status['error_message'], status['message'], body['error']].find(
    (text): text is string => typeof text === 'string',
  );
  return code === undefined && message === undefined ? undefined : { code, message: message ?? '' };
}

/**
 * The error that an answer stands for, or undefined when nothing about it is known to be wrong: then its status is 200
 * and `body` is neither an error nor absent.
 */
export function failureOf(
  answer: RawAnswer,
  body: unknown,
  context: FailureContext,
): ProviderError | undefined {
  const { status, text } = answer;
  const inBody = errorInBody(body);
  const code = inBody?.code ?? cdnCode(text, body);
  if ([status, code].includes(429) || code === 1015 || isThrottled(text)) {
    return rateLimitOf(answer, context);
  }
  if (status === 200 && inBody === undefined && code === undefined) return undefined;
  return refusalOf(
    status,
    { code, said: context.redact(inBody?.message ?? '').slice(0, 200) },
    context.provider,
  );
}

function refusalOf(
  status: number,
  { code, said }: { code: number | undefined; said: string },
  provider: string,
): ProviderError {
  const options = { provider, providerStatus: status };
  const what = [`${provider} answered ${status}`, code, said].filter(Boolean).join(': ');
  if (code === timeRangeCode || /allowed time range/i.test(said))
    return new ProviderRangeError(what, options);
  if (status === 404 && /not find|not found/i.test(said)) return new ProviderNotFoundError(what, options);
  if (code !== undefined && keyCodes.has(code)) return new ProviderKeyError(what, options);
  if (code === 1020) return new ProviderRejectedError(what, options);
  return byStatus(status === 200 ? (code ?? 200) : status, what, options);
}
