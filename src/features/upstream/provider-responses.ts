/** What the responses of all providers have in common: how they are read, and which error a bad one means. */
import type { Clock } from '../../platform/concurrency/clock.ts';
import type { HttpResponse } from './http-get.ts';
import {
  ProviderBusyError,
  ProviderConnectionError,
  type ProviderError,
  ProviderRateLimitError,
  ProviderRejectedError,
  ProviderResponseError,
  ProviderUrlTooLongError,
} from './provider-errors.ts';

export interface FailureContext {
  readonly provider: string;
  readonly clock: Clock;
  /** Makes text of the provider safe to repeat. */
  readonly redact: (text: string) => string;
}

/** Characters of an unusable response that are shown. */
const shownCharacters = 200;

const defaultRetryAfterMs = 10_000;
const minRetryAfterMs = 1_000;
const maxRetryAfterMs = 600_000;

/** How long (ms) a `retry-after` header asks to wait, 10 minutes at most; undefined when it is missing or not valid. */
function retryAfterMs(header: string | string[] | undefined, clock: Clock): number | undefined {
  const value = (Array.isArray(header) ? header[0] : header)?.trim() ?? '';
  const seconds = /^\d+(\.\d+)?$/.test(value) ? Number(value) : undefined;
  const ms = seconds === undefined ? Date.parse(value) - clock.now() : seconds * 1_000;
  if (Number.isNaN(ms)) return undefined;
  return Math.min(Math.max(ms, minRetryAfterMs), maxRetryAfterMs);
}

/** The error of a 503 that says when to retry; undefined for any other response. */
export function busyOf(
  { status, headers }: HttpResponse,
  { provider, clock }: FailureContext,
): ProviderBusyError | undefined {
  const requested = status === 503 ? retryAfterMs(headers['retry-after'], clock) : undefined;
  if (requested === undefined) return undefined;
  const message = `${provider} answered 503 and asks for no calls for ${Math.ceil(requested / 1000)} s`;
  return new ProviderBusyError(message, { provider, providerStatus: status, retryAfterMs: requested });
}

/** Adds evidence from the response to the error: its host, and its first characters. */
export function withEvidence(
  error: ProviderError,
  {
    root,
    text,
    redact,
  }: { readonly root: string; readonly text: string; readonly redact: (text: string) => string },
): ProviderError {
  const said = redact(text).replaceAll(/\s+/g, ' ').trim().slice(0, shownCharacters);
  error.evidence = { host: new URL(root).host, ...(said === '' ? {} : { said }) };
  return error;
}

/**
 * The error of a "too many requests": 10 s when the response gives no time. `atLeastMs`: what the provider's code demands
 * beyond its header.
 */
export function rateLimitOf(
  { status, headers }: HttpResponse,
  { provider, clock }: FailureContext,
  atLeastMs = 0,
): ProviderRateLimitError {
  const requested = Math.max(atLeastMs, retryAfterMs(headers['retry-after'], clock) ?? defaultRetryAfterMs);
  const message = `${provider} reports too many requests`;
  return new ProviderRateLimitError(message, { provider, providerStatus: status, retryAfterMs: requested });
}

/** The error for a status when nothing else says more. */
export function byStatus(
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
export function cdnCode(text: string, body: unknown): number | undefined {
  if (body !== undefined) return undefined;
  const code = /error(?: code)?:?\s*(1015|1020)\b/i.exec(text.slice(0, 20_000))?.[1];
  return code === undefined ? undefined : Number(code);
}

/** A plain text form of a 429. */
export function isThrottled(text: string): boolean {
  return text.length < 100 && /^\s*"?throttled\b/i.test(text);
}

/**
 * Parses JSON, reading bare `NaN` and `Infinity`, which some servers emit and JSON forbids, as null: one broken number must not
 * cost the other 249 assets their prices.
 * @returns undefined when the text is not JSON.
 */
export function parseLenient(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    if (!/NaN|Infinity/.test(text)) return undefined;
  }
  try {
    return JSON.parse(text.replaceAll(/"(?:[^"\\]|\\.)*"|-?(?:NaN|Infinity)\b/g, nullUnlessString));
  } catch {
    return undefined;
  }
}

function nullUnlessString(token: string): string {
  return token.startsWith('"') ? token : 'null';
}

/** True for an object that is not an array. */
export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The root of an API without a trailing slash. */
export function rootOf(baseUrl: string): string {
  const url = new URL(baseUrl);
  if (url.search !== '' || url.hash !== '')
    throw new Error('The base URL must have no query and no fragment');
  return url.href.replace(/\/+$/, '');
}
