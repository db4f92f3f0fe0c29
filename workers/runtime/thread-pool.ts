import { availableParallelism } from 'node:os';
import { Piscina } from 'piscina';
import type { Threads } from '../threads/threads.ts';

/** Tasks of one kind that may wait for a thread; above it the caller's job is tried again later. */
const maxWaitingTasks = 100;
/** What one thread may hold (MB): a short task has few rows, a long one a whole ledger. */
const shortTaskMb = 256;
const longTaskMb = 1_024;

/**
 * The threads of a process, for tasks by file. Short and long tasks have threads of their own: however many long ones run or wait, a
 * short one finds a thread, and one that no long task has lowered the priority of. Threads start with the first task of their kind
 * and end when there is none for a while.
 * @param perKind most threads for tasks of one kind; all cores but one when absent.
 */
export function createThreadPool(perKind = Math.max(1, availableParallelism() - 1)) {
  const open = (maxOldGenerationSizeMb: number): Piscina =>
    new Piscina({
      minThreads: 0,
      maxThreads: perKind,
      maxQueue: maxWaitingTasks,
      idleTimeout: 30_000,
      resourceLimits: { maxOldGenerationSizeMb },
    });
  let short: Piscina | undefined;
  let long: Piscina | undefined;
  return {
    async run<O>(
      file: string,
      input: unknown,
      { transfer, isLong }: Parameters<Threads['run']>[2],
    ): Promise<O> {
      const threads = isLong ? (long ??= open(longTaskMb)) : (short ??= open(shortTaskMb));
      return (await threads.run(input, { filename: file, transferList: [...transfer] })) as O;
    },

    /** Lets what runs come to its end. */
    async close(): Promise<void> {
      await Promise.all([short?.close(), long?.close()]);
    },
  } satisfies Threads & { close(): Promise<void> };
}
