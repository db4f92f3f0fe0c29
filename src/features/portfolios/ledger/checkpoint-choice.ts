/** Which marks of a ledger are worth storing. */

/** A mark as far as the choice goes. */
export interface MarkSize {
  /** Postings before it. */
  readonly count: number;
  /** Characters of its text. */
  readonly size: number;
}

/** A replay of fewer postings is not worth a mark. */
const leastPostings = 256;
/** Storing so many characters of a mark takes as long as replaying one posting (measured: docs/adr/0015). */
const charactersPerPosting = 200;

/**
 * The counts of the marks to keep, of `marks` from the earliest to the last, which always stays. Marks lie so far apart that
 * they cost less than the replay that they save, and the farther apart the farther they are from the end (distances about
 * double): so a change costs a replay of about twice what follows it at most, and there are few marks however long the
 * ledger is. Chosen after every change, it comes to about the same as chosen once.
 */
export function marksToKeep(marks: readonly MarkSize[]): number[] {
  const last = marks.at(-1);
  if (last === undefined) return [];
  return doubling([...spaced(marks.slice(0, -1)), last.count]);
}

function spaced(marks: readonly MarkSize[]): number[] {
  const kept: number[] = [];
  for (const { count, size } of marks) {
    const least = Math.max(leastPostings, size / charactersPerPosting);
    if (count - (kept.at(-1) ?? 0) >= least) kept.push(count);
  }
  return kept;
}

/** Drops what lies between two that are near enough to each other for their distance from the end. */
function doubling(counts: readonly number[]): number[] {
  const end = counts.at(-1) ?? 0;
  const kept: number[] = [];
  for (const count of counts.toReversed()) {
    const [middle, after] = [kept.at(-1), kept.at(-2)];
    const reach = after === undefined ? 0 : 2 * (end - after);
    if (middle !== undefined && end - count <= reach) kept.pop();
    kept.push(count);
  }
  return kept.reverse();
}
