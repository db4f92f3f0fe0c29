import { PutBack } from './put-back.ts';

/** The end of a worker, as its jobs see it: first whoever waits stops, a moment later whoever calls. */
export interface Drain {
  readonly waits: AbortSignal;
  readonly calls: AbortSignal;
  begin(): void;
}

/** An upstream call under way is paid for: it gets this long (ms) to bring its answer home. */
const callGraceMs = 2_000;

/** Builds a {@link Drain} that has not begun. */
export function createDrain(): Drain {
  const waits = new AbortController();
  const calls = new AbortController();
  return {
    waits: waits.signal,
    calls: calls.signal,
    begin() {
      const reason = new PutBack('the process is about to end');
      waits.abort(reason);
      setTimeout(() => calls.abort(reason), callGraceMs).unref();
    },
  };
}
