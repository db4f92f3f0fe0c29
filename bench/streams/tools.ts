import type { Stack } from '../../test/support/stack.ts';
import type { Bench } from '../support/bench.ts';
import type { Load } from './load-process.ts';

/** What every part of the stream bench works with. */
export interface Tools {
  /** Postgres and Redis; without processes. */
  readonly stack: Stack;
  readonly load: Load;
  readonly bench: Bench;
}
