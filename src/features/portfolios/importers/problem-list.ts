import { cut } from './cells.ts';

/** What is wrong with a row. */
export interface RowProblem {
  readonly line: number;
  /** Name of the column; null when the row as a whole is wrong. */
  readonly column: string | null;
  readonly reason: string;
}

/** Problems listed in a result; the others are only counted. */
const maxReported = 1_000;
/** Longest reason that is reported (characters). */
const longestReason = 300;

/** Problems of rows: all are counted, and the first ones by line are reported. */
export class ProblemList {
  #count = 0;
  readonly #reported: RowProblem[] = [];

  add({ line, column, reason }: RowProblem): void {
    this.#count += 1;
    if (this.#reported.length < maxReported)
      this.#reported.push({ line, column, reason: cut(reason, longestReason) });
  }

  count(): number {
    return this.#count;
  }

  /** By line. */
  reported(): readonly RowProblem[] {
    return [...this.#reported].sort((left, right) => left.line - right.line);
  }
}
