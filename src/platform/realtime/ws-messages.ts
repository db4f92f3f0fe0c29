/** What is said over a WebSocket beside the events that all transports share. */
import { AppError } from '../../domain/errors.ts';
import { textFrame } from './frame.ts';

/** Where WebSockets are opened. */
export const socketPath = '/api/v1/crypto/stream/ws';

/** Most asset ids and jobs that one connection may watch. An asset in two currencies counts twice. */
export const mostCoins = 1_000;
export const mostJobs = 100;

/** A connection would watch more than {@link mostCoins}. */
export function tooManyCoins(): AppError {
  return new AppError(`A connection watches ${mostCoins} coins at most`, {
    code: 'too_many_coins',
    status: 422,
  });
}

/** A connection would follow more than {@link mostJobs}. */
export function tooManyJobs(): AppError {
  return new AppError(`A connection follows ${mostJobs} jobs at most`, {
    code: 'too_many_jobs',
    status: 422,
  });
}

/** Longest `id` of a message, in characters. */
export const longestMessageId = 64;
/** Largest message (bytes) that is taken. */
export const mostMessageBytes = 16 * 1_024;
/** Messages, pings and pongs among them, that a client may send in a second. */
export const messagesPerSecond = 50;

/** What a client asks for. Defaults are filled in; lists hold nothing twice. */
export type ClientMessage =
  | { readonly action: 'ping'; readonly id?: string | undefined }
  | { readonly action: 'ticket'; readonly id?: string | undefined }
  | Subscribe
  | Unsubscribe;

export interface Subscribe {
  readonly action: 'subscribe';
  readonly id?: string | undefined;
  readonly coins: readonly string[];
  readonly jobs: readonly string[];
  readonly currency: string;
  /** Least seconds between two updates. */
  readonly interval: number;
  /** By job: the last event that the client has seen of it. */
  readonly lastEventIds: ReadonlyMap<string, string>;
}

export interface Unsubscribe {
  readonly action: 'unsubscribe';
  readonly id?: string | undefined;
  readonly coins: readonly string[];
  readonly jobs: readonly string[];
  readonly currency: string;
}

/** Why a connection was closed, as clients are told. docs/streams.md says which of them to come back after. */
export const closeCodes = {
  complete: 1000,
  drain: 1001,
  binary: 1003,
  fault: 1011,
  idle: 4000,
  revoked: 4001,
  slow: 4002,
  expired: 4003,
  flood: 4008,
  limit: 4029,
  malformed: 4400,
} as const;
export type CloseName = keyof typeof closeCodes;

/** The bytes of the answer to a message. */
export function answerFrame(action: string, id: string | undefined, rest: object = {}): Buffer {
  return textFrame(JSON.stringify({ action, id, ...rest }));
}

/** The bytes of a refusal. What is no {@link AppError} is a fault of ours, of which nothing is told. */
export function problemFrame(error: unknown, id: string | undefined, rest: object = {}): Buffer {
  if (!(error instanceof AppError)) {
    const message = 'Something went wrong on our side';
    return answerFrame('problem', id, { code: 'internal_error', message, ...rest });
  }
  const { code, message, fields, retryAfterSeconds } = error;
  return answerFrame('problem', id, { code, message, fields, retry_after: retryAfterSeconds, ...rest });
}

/**
 * The JSON value of a message.
 * @throws {AppError} it is no JSON.
 */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new AppError('The message is not valid JSON', { code: 'malformed_message', status: 400 });
  }
}

/** The `id` of a message that may be wrong in other ways, so that its refusal can be told apart. */
export function idOf(message: unknown): string | undefined {
  if (typeof message !== 'object' || message === null || !('id' in message)) return undefined;
  const { id } = message;
  return typeof id === 'string' && id.length <= longestMessageId ? id : undefined;
}
