import { messageOf } from '../src/domain/errors.ts';
import { sleep } from '../src/platform/concurrency/sleep.ts';
import { StartError } from './start-error.ts';

const pollMs = 50;
const requestTimeoutMs = 2_000;
const shownCharacters = 500;

interface ReadinessOptions {
  /** Root of the API. */
  readonly url: string;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

/**
 * Waits until the API says that it is ready.
 * @throws {StartError} with what it said last, when the time is up; the signal's reason when aborted.
 */
export async function untilApiReady({ url, timeoutMs, signal }: ReadinessOptions): Promise<void> {
  const until = performance.now() + timeoutMs;
  for (;;) {
    const reason = await reasonNotReady(`${url}/health/ready`);
    if (reason === undefined) return;
    if (performance.now() > until) {
      throw new StartError(`The API was not ready within ${timeoutMs / 1000} s: ${reason}`);
    }
    await sleep(pollMs, signal);
  }
}

async function reasonNotReady(url: string): Promise<string | undefined> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(requestTimeoutMs) });
    const body = await response.text();
    return response.status === 200 ? undefined : `${response.status} ${body.slice(0, shownCharacters)}`;
  } catch (error) {
    const { cause } = error as { cause?: unknown };
    return `${url} does not answer (${messageOf(cause ?? error)})`;
  }
}
