/**
 * What an answer that is not a good one means. CoinGecko and the CDN before it say "too many requests" in at least
 * five forms, two of them without the status 429, so the body is looked at before the status is believed.
 */
import type { Clock } from '../../lib/clock.ts';
import {
  ProviderConnectionError,
  type ProviderError,
  ProviderRateLimitError,
  ProviderRejectedError,
  ProviderResponseError,
  ProviderUrlTooLongError,
} from '../errors.ts';

/** An answer as it came off the wire. */
interface RawAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly text: string;
}

interface FailureContext {
  readonly provider: string;
  readonly clock: Clock;
  /** Makes text of the provider safe to repeat. */
  readonly redact: (text: string) => string;
}

const defaultRetryAfterMs = 10_000;
const minRetryAfterMs = 1_000;
const maxRetryAfterMs = 600_000;

/** CoinGecko's own codes and the CDN's 1020: wrong key, wrong plan, wrong root URL, firewall. */
const rejectedCodes: ReadonlySet<number> = new Set([1020, 10_002, 10_005, 10_010, 10_011, 10_012]);

/** How long a `retry-after` header asks to wait: 10 s when it is missing or makes no sense, 10 minutes at most. */
function retryAfterMs(header: string | string[] | undefined, clock: Clock): number {
  const value = (Array.isArray(header) ? header[0] : header)?.trim() ?? '';
  const seconds = /^\d+(\.\d+)?$/.test(value) ? Number(value) : undefined;
  const ms = seconds === undefined ? Date.parse(value) - clock.now() : seconds * 1_000;
  if (Number.isNaN(ms)) return defaultRetryAfterMs;
  return Math.min(Math.max(ms, minRetryAfterMs), maxRetryAfterMs);
}

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
    return new ProviderRateLimitError(`${context.provider} says: too many requests`, {
      provider: context.provider,
      providerStatus: status,
      retryAfterMs: retryAfterMs(answer.headers['retry-after'], context.clock),
    });
  }
  if (status === 200 && inBody === undefined && code === undefined) return undefined;
  const said = context.redact(inBody?.message ?? '').slice(0, 200);
  const options = { provider: context.provider, providerStatus: status };
  const what = [`${context.provider} answered ${status}`, code, said].filter(Boolean).join(': ');
  if (code !== undefined && rejectedCodes.has(code)) return new ProviderRejectedError(what, options);
  return byStatus(status === 200 ? (code ?? 200) : status, what, options);
}

function byStatus(
  status: number,
  what: string,
  options: { provider: string; providerStatus: number },
): ProviderError {
  if (status === 414) return new ProviderUrlTooLongError(what, options);
  if (status === 408 || (status >= 500 && status <= 599)) return new ProviderConnectionError(what, options);
  if (status >= 400 && status <= 499) return new ProviderRejectedError(what, options);
  return new ProviderResponseError(what, options);
}

/** `error code: 1015` as plain text, or within an HTML page of the CDN; never within good JSON. */
function cdnCode(text: string, body: unknown): number | undefined {
  if (body !== undefined) return undefined;
  const code = /error(?: code)?:?\s*(1015|1020)\b/i.exec(text.slice(0, 20_000))?.[1];
  return code === undefined ? undefined : Number(code);
}

function isThrottled(text: string): boolean {
  return text.length < 100 && /^\s*"?throttled\b/i.test(text);
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
