import { setPriority } from 'node:os';
import { replayAsset, type Replayed, type ReplayTask } from '../../src/features/portfolios/ledger/replay.ts';
import type { Threads } from './threads.ts';

/** A {@link ReplayTask} with its texts as bytes, which are handed over. */
interface ReplayBytes extends Omit<ReplayTask, 'checkpoint' | 'postings'> {
  readonly checkpoint: Uint8Array | null;
  readonly postings: readonly Uint8Array[];
}

/** Of the thread only: where cores are few, what answers clients goes first. */
const niceness = 10;

/** Thread task: replays the ledger of one asset. Texts come and go as bytes, because those are handed over or copied at once. */
export default function replayBytes(task: ReplayBytes) {
  setPriority(niceness);
  const decoder = new TextDecoder();
  const encoder = new TextEncoder();
  const replayed = replayAsset({
    ...task,
    checkpoint: task.checkpoint === null ? null : decoder.decode(task.checkpoint),
    postings: task.postings.map((each) => decoder.decode(each)),
  });
  return {
    ...replayed,
    blocks: replayed.blocks.map((block) => ({ ...block, columns: encoder.encode(block.columns) })),
    checkpoints: replayed.checkpoints.map((checkpoint) => ({
      ...checkpoint,
      state: encoder.encode(checkpoint.state),
    })),
  };
}

/** Postings from which a thread pays (measured: docs/explanation/adr/0015-derived-books.md). */
const postingsWorthAThread = 2_000;

/** Replays ledgers: short ones at once, those of `threshold` postings in a thread so that the event loop stays free. */
export function createReplays(threads: Threads, threshold = postingsWorthAThread) {
  return {
    /**
     * Replays an asset.
     * @param work postings to replay, and some for a large mark: what decides where it is done.
     */
    async run(task: ReplayTask, work: number): Promise<Replayed> {
      if (work < threshold) return replayAsset(task);
      const encoder = new TextEncoder();
      const bytes: ReplayBytes = {
        ...task,
        checkpoint: task.checkpoint === null ? null : encoder.encode(task.checkpoint),
        postings: task.postings.map((each) => encoder.encode(each)),
      };
      const transfer = [...bytes.postings, ...(bytes.checkpoint === null ? [] : [bytes.checkpoint])].map(
        ({ buffer }) => buffer as ArrayBuffer,
      );
      const { blocks, checkpoints, ...replayed } = await threads.run<ReturnType<typeof replayBytes>>(
        import.meta.url,
        bytes,
        { transfer, isLong: true },
      );
      return {
        ...replayed,
        blocks: blocks.map((block) => ({ ...block, columns: textOf(block.columns) })),
        checkpoints: checkpoints.map((each) => ({ ...each, state: textOf(each.state) })),
      };
    },
  };
}

export type Replays = ReturnType<typeof createReplays>;

/** All of it is ASCII, which is read without looking for anything else. */
function textOf({ buffer, byteOffset, byteLength }: Uint8Array): string {
  return Buffer.from(buffer, byteOffset, byteLength).toString('latin1');
}
