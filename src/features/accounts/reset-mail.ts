import { createHash } from 'node:crypto';
import { messageOf, UnavailableError } from '../../domain/errors.ts';
import type { Queues } from '../../platform/queue/queues.ts';

/** Who asks for a mail to which address. */
export interface ResetMailRequest {
  /** In lower case. */
  readonly email: string;
  /** From where, and in which request, for the audit log. */
  readonly address: string | undefined;
  readonly requestId: string | undefined;
}

/**
 * Has a reset token mailed, at most once a minute to the same address.
 * @throws {UnavailableError} the queue does not take it.
 */
export type RequestResetMail = (request: ResetMailRequest) => Promise<void>;

const oncePerMs = 60_000;

/** Builds {@link RequestResetMail}. */
export function createResetMail(queues: Pick<Queues, 'add'>): RequestResetMail {
  return async ({ email, address, requestId }) => {
    const id = `reset-${createHash('sha256').update(email).digest('hex')}`;
    try {
      await queues.add(
        'password-reset.mail',
        {
          email,
          ...(address === undefined ? {} : { address }),
          ...(requestId === undefined ? {} : { requestId }),
        },
        { deduplication: { id, ttl: oncePerMs } },
      );
    } catch (error) {
      throw new UnavailableError(`Mail cannot be sent at the moment: ${messageOf(error)}`, {
        code: 'queue_unavailable',
        cause: error,
      });
    }
  };
}
