import { availableParallelism } from 'node:os';
import { Piscina } from 'piscina';
import { replayAsset, type Replayed, type ReplayTask } from '../../src/features/portfolios/ledger/replay.ts';
import type { ReplayBytes, ReplayedBytes } from '../threads/replay-ledger.ts';

/** Replays ledgers: short ones at once, long ones in a thread so that the event loop stays free. */
export interface ReplayPool {
  /**
   * Replays an asset.
   * @param work postings to replay, and some for a large mark: what decides where it is done.
   */
  run(task: ReplayTask, work: number): Promise<Replayed>;
  close(): Promise<void>;
}

/** Postings from which a thread pays (measured: docs/adr/0015). */
const postingsWorthAThread = 2_000;
/** Replays that may wait for a thread; an update asks for two at a time. */
const maxWaitingTasks = 100;

/** Builds the {@link ReplayPool}; threads start when the first long replay comes. */
export function createReplayPool(threshold = postingsWorthAThread): ReplayPool {
  let pool: Piscina<ReplayBytes, ReplayedBytes> | undefined;
  return {
    async run(task, work) {
      if (work < threshold) return replayAsset(task);
      pool ??= openPool();
      return await runInThread(pool, task);
    },
    close: async () => await pool?.close(),
  };
}

async function runInThread(
  pool: Piscina<ReplayBytes, ReplayedBytes>,
  { mark, postings, ...rest }: ReplayTask,
): Promise<Replayed> {
  const encoder = new TextEncoder();
  const task: ReplayBytes = {
    ...rest,
    mark: mark === null ? null : encoder.encode(mark),
    postings: postings.map((each) => encoder.encode(each)),
  };
  const buffers = [...task.postings, ...(task.mark === null ? [] : [task.mark])].map(
    ({ buffer }) => buffer as ArrayBuffer,
  );
  const { blocks, marks, ...replayed } = await pool.run(task, { transferList: buffers });
  // All of it is ASCII, which is read without looking for anything else.
  const textOf = ({ buffer, byteOffset, byteLength }: Uint8Array): string =>
    Buffer.from(buffer, byteOffset, byteLength).toString('latin1');
  return {
    ...replayed,
    blocks: blocks.map((block) => ({ ...block, columns: textOf(block.columns) })),
    marks: marks.map((each) => ({ ...each, state: textOf(each.state) })),
  };
}

function openPool(): Piscina<ReplayBytes, ReplayedBytes> {
  // The same extension as this module: .ts when run from source, .js when built.
  const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
  return new Piscina({
    filename: new URL(`../threads/replay-ledger.${extension}`, import.meta.url).href,
    minThreads: 0,
    maxThreads: Math.max(1, availableParallelism() - 1),
    maxQueue: maxWaitingTasks,
    idleTimeout: 30_000,
    resourceLimits: { maxOldGenerationSizeMb: 1_024 },
  });
}
