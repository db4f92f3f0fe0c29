import { messageOf } from '../src/domain/errors.ts';
import { withDeadline } from '../src/platform/concurrency/deadline.ts';
import { sleep } from '../src/platform/concurrency/sleep.ts';
import type { ChildExit } from './child.ts';

/** A part that runs until it ends by itself or is stopped. */
export interface Part {
  readonly exited: Promise<ChildExit>;
  stop(): Promise<void>;
}

const maxDeathsPerMinute = 5;
const firstBackoffMs = 200;
const maxBackoffMs = 5_000;
const stopTimeoutMs = 15_000;

/**
 * Starts a part and starts it again whenever it ends, a little later each time; gives up at the sixth end within a
 * minute.
 * @throws what the first start throws.
 */
export async function supervise({
  name,
  start,
  say,
  giveUp,
}: {
  /** Such as `Redis`, for messages. */
  readonly name: string;
  /** Called at first and after each death; gives a part that is ready. */
  readonly start: () => Promise<Part>;
  /** Reports to the operator. */
  readonly say: (message: string) => void;
  /** Called once, when the part died too often to try again. */
  readonly giveUp: (reason: string) => void;
}): Promise<{
  /** Ends the part and the supervision. */
  stop(): Promise<void>;
}> {
  const stopping = new AbortController();
  const isStopping = (): boolean => stopping.signal.aborted;
  const deaths: number[] = [];
  let current: Part | undefined = await start();

  async function revive(): Promise<Part | undefined> {
    for (;;) {
      deaths.push(performance.now());
      const recent = deaths.filter((at) => at > performance.now() - 60_000).length;
      if (recent > maxDeathsPerMinute) return undefined;
      await sleep(Math.min(maxBackoffMs, firstBackoffMs * 2 ** (recent - 1)), stopping.signal);
      try {
        return await start();
      } catch (error) {
        say(`${name} could not be started again: ${messageOf(error)}`);
      }
    }
  }

  async function watch(): Promise<void> {
    while (current !== undefined) {
      const exit = await current.exited;
      if (isStopping()) return;
      say(`${name} ended unexpectedly (${describe(exit)}); starting it again`);
      current = await revive();
      if (isStopping()) {
        await current?.stop();
        return;
      }
      if (current !== undefined) say(`${name} is back`);
    }
    giveUp(`${name} ended ${maxDeathsPerMinute + 1} times within a minute`);
  }

  const watching = watch().catch(() => undefined);
  return {
    stop: async () => {
      stopping.abort();
      await current?.stop();
      await withDeadline(watching, stopTimeoutMs, `stopping ${name}`);
    },
  };
}

function describe({ code, signal }: ChildExit): string {
  return signal === null ? `exit code ${code ?? 'unknown'}` : signal;
}
