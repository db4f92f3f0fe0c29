import { randomBytes } from 'node:crypto';

/** Must not be one of our secrets, because a request id is logged and returned. */
const wellFormed = /^(?!pp[rkp]_)[A-Za-z0-9._-]{8,64}$/;

/**
 * Assigns request ids: the client's own if it is well-formed, else a prefix unique to this process with a counter, which is as
 * unique as a random id and costs nothing.
 */
export function createRequestIds(): (given: string | string[] | undefined) => string {
  const prefix = randomBytes(6).toString('hex');
  let count = 0;
  return (given) => {
    if (typeof given === 'string' && wellFormed.test(given)) return given;
    count += 1;
    return `${prefix}-${count.toString(36)}`;
  };
}
