/** Messages of a WebSocket besides the events that all transports share. */
import { AppError } from '../../domain/errors.ts';
import { textFrame } from './frame.ts';

/** Path at which WebSockets are opened. */
export const socketPath = '/api/v1/crypto/stream/ws';

/** Largest message (bytes) that is accepted. */
export const maxMessageBytes = 16 * 1_024;

/** Why a connection was closed, as sent to clients. docs/reference/events.md says after which of them to reconnect. */
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

/** The bytes of the reply to a message. */
export function responseFrame(action: string, id: string | undefined, rest: object = {}): Buffer {
  return textFrame(JSON.stringify({ action, id, ...rest }));
}

/** The bytes of a refusal. Anything that is not an {@link AppError} is our own fault, and no detail of it is sent. */
export function problemFrame(error: unknown, id: string | undefined, rest: object = {}): Buffer {
  if (!(error instanceof AppError)) {
    const message = 'Something went wrong on our side';
    return responseFrame('problem', id, { code: 'internal_error', message, ...rest });
  }
  const { code, message, fields, retryAfterSeconds } = error;
  return responseFrame('problem', id, { code, message, fields, retry_after: retryAfterSeconds, ...rest });
}
