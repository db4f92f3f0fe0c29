/** Thrown when {@link withDeadline} ended a wait. */
export class DeadlineError extends Error {
  readonly ms: number;

  constructor(what: string, ms: number) {
    super(`${what} took longer than ${ms} ms`);
    this.name = 'DeadlineError';
    this.ms = ms;
  }
}

/**
 * Settles as `promise` does, or rejects after `ms` milliseconds. The work behind the promise is not cancelled: use it where it
 * cannot be (a Redis command that waits for a reconnect), never to hide that something was not awaited.
 * @throws {DeadlineError} when the time is up first.
 */
export async function withDeadline<T>(promise: Promise<T>, ms: number, what: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new DeadlineError(what, ms)), ms);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
