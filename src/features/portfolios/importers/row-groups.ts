import { outcomesOf, type Row, type RowOutcome } from './imported.ts';

/** Rows of one transaction that lie further apart (ms) in a report are not found. */
const windowMs = 60_000;
/** Rows held back at once: more than any exchange writes in a minute. */
const mostHeld = 20_000;
/** Rows of one transaction: more than the fills of any order. */
const mostRows = 1_000;
const tooMany = `belongs with more than ${mostRows} rows of the same transaction`;

interface Group {
  readonly key: string;
  readonly at: number;
  /** Empty once there were too many: those that come then are refused one by one. */
  rows: Row[];
  isOverfull: boolean;
}

/** Gathers rows that belong together. */
export interface RowGroups {
  /** Adds a row; tells what came of the groups that nothing can join any more. */
  add(row: Row, key: string, at: number): RowOutcome[];
  /** What came of all that are left. */
  end(): RowOutcome[];
}

/**
 * Groups of rows by a key. Reports run in time, forwards or backwards, so the group that was begun first is complete when a
 * row of more than a minute before or after it comes; nothing else is held in memory. Where a report does not run in time,
 * groups may wait for one that was begun before them. A group of more than 1,000 rows is refused, row by row.
 */
export function rowGroups(settle: (rows: readonly Row[], at: number) => RowOutcome[]): RowGroups {
  const groups = new Map<string, Group>();
  /** In the order in which they were begun, from `oldest` on. (To find the first of a map takes as long as many were deleted.) */
  let begun: Group[] = [];
  let oldest = 0;
  let held = 0;

  const finishOldest = ({ key, at, rows }: Group): RowOutcome[] => {
    groups.delete(key);
    oldest += 1;
    if (oldest > mostHeld) [begun, oldest] = [begun.slice(oldest), 0];
    held -= rows.length;
    if (rows.length === 0) return [];
    const lines = rows.map(({ line }) => line);
    return outcomesOf(lines, () => settle(rows, at));
  };

  const join = (group: Group, row: Row): RowOutcome[] => {
    if (!group.isOverfull && group.rows.length < mostRows) {
      group.rows.push(row);
      held += 1;
      return [];
    }
    const refused = [...group.rows, row];
    held -= group.rows.length;
    group.rows = [];
    group.isOverfull = true;
    return refused.map(({ line }) => ({ kind: 'problem', line, column: null, reason: tooMany }));
  };

  const isComplete = (group: Group, key: string, at: number): boolean =>
    held >= mostHeld || groups.size >= mostHeld || (group.key !== key && Math.abs(group.at - at) > windowMs);

  return {
    add(row, key, at) {
      const outcomes: RowOutcome[] = [];
      for (let first = begun[oldest]; first !== undefined; first = begun[oldest]) {
        if (!isComplete(first, key, at)) break;
        for (const outcome of finishOldest(first)) outcomes.push(outcome);
      }
      let group = groups.get(key);
      if (group === undefined) {
        group = { key, at, rows: [], isOverfull: false };
        groups.set(key, group);
        begun.push(group);
      }
      for (const outcome of join(group, row)) outcomes.push(outcome);
      return outcomes;
    },
    end: () => begun.slice(oldest).flatMap(finishOldest),
  };
}
