import { messageOf } from '../../src/domain/errors.ts';
import { sleep } from '../../src/platform/concurrency/sleep.ts';

export interface WaitOptions {
  /** What is waited for, for the message: "the job to complete". */
  readonly what: string;
  /** A minute when absent, which a busy machine may need; less than the limit of a test, so that the message is this one. */
  readonly timeoutMs?: number;
}

const pollMs = 15;

/**
 * Polls until `condition` is truthy and returns what it gave. A condition that throws counts as not met yet.
 * @throws {Error} that names what was waited for, and what the condition last gave or threw.
 */
export async function waitFor<T>(
  condition: () => T | Promise<T>,
  { what, timeoutMs = 60_000 }: WaitOptions,
): Promise<Exclude<T, false | null | undefined | 0 | ''>> {
  const until = Date.now() + timeoutMs;
  let last: string;
  do {
    try {
      const result = await condition();
      if (result) return result as Exclude<T, false | null | undefined | 0 | ''>;
      last = `it was ${String(result)}`;
    } catch (error) {
      last = messageOf(error);
    }
    await sleep(pollMs);
  } while (Date.now() < until);
  throw new Error(`Waited ${timeoutMs} ms in vain for ${what}: ${last}`);
}
