import { outcomesOf, type Row, type RowOutcome } from './imported.ts';

/** Rows of one transaction that lie further apart (ms) in a report are not found. */
const windowMs = 60_000;
/** Groups held back at once: more than any exchange writes in a minute. */
const mostGroups = 20_000;

interface Group {
  readonly key: string;
  readonly at: number;
  readonly rows: Row[];
}

/** Gathers rows that belong together. */
export interface RowGroups {
  /** Adds a row; tells what came of the groups that nothing can join any more. */
  add(row: Row, key: string, at: number): RowOutcome[];
  /** What came of all that are left. */
  end(): RowOutcome[];
}

/**
 * Groups of rows by a key. Reports run in time, forwards or backwards, so a group is complete when a row of more than a
 * minute before or after it comes; nothing else is held in memory.
 */
export function rowGroups(settle: (rows: readonly Row[], at: number) => RowOutcome[]): RowGroups {
  const groups = new Map<string, Group>();

  const finish = (group: Group): RowOutcome[] => {
    groups.delete(group.key);
    const lines = group.rows.map(({ line }) => line);
    return outcomesOf(lines, () => settle(group.rows, group.at));
  };

  return {
    add(row, key, at) {
      const found = groups.get(key);
      const group = found ?? { key, at, rows: [] };
      group.rows.push(row);
      if (found !== undefined) return [];
      const oldest = groups.values().next().value;
      groups.set(key, group);
      if (oldest === undefined || (Math.abs(oldest.at - at) <= windowMs && groups.size <= mostGroups))
        return [];
      const over = [...groups.values()].filter((each) => each !== group && Math.abs(each.at - at) > windowMs);
      return (over.length === 0 ? [oldest] : over).flatMap(finish);
    },
    end: () => [...groups.values()].flatMap(finish),
  };
}
