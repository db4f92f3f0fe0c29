import { setPriority } from 'node:os';
import { replayAsset, type Replayed, type ReplayTask } from '../../src/features/portfolios/ledger/replay.ts';

/** A {@link ReplayTask} with its texts as bytes, which are handed over. */
export interface ReplayBytes extends Omit<ReplayTask, 'mark' | 'postings'> {
  readonly mark: Uint8Array | null;
  readonly postings: readonly Uint8Array[];
}

/** What came of it, with the large texts as bytes. */
export interface ReplayedBytes extends Omit<Replayed, 'blocks' | 'marks'> {
  readonly blocks: readonly (Omit<Replayed['blocks'][number], 'columns'> & {
    readonly columns: Uint8Array;
  })[];
  readonly marks: readonly (Omit<Replayed['marks'][number], 'state'> & { readonly state: Uint8Array })[];
}

/** Of this thread only: where cores are few, what answers clients goes first. */
const niceness = 10;
setPriority(niceness);

/** Thread task: replays the ledger of one asset. Texts come and go as bytes, because those are handed over or copied at once. */
export default function replayBytes(task: ReplayBytes): ReplayedBytes {
  const decoder = new TextDecoder();
  const encoder = new TextEncoder();
  const replayed = replayAsset({
    ...task,
    mark: task.mark === null ? null : decoder.decode(task.mark),
    postings: task.postings.map((each) => decoder.decode(each)),
  });
  return {
    ...replayed,
    blocks: replayed.blocks.map((block) => ({ ...block, columns: encoder.encode(block.columns) })),
    marks: replayed.marks.map((mark) => ({ ...mark, state: encoder.encode(mark.state) })),
  };
}
