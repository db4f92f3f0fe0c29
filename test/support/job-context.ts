import type { JobContext } from '../../workers/runtime/processor.ts';

/** A job that runs for the first time and is not disturbed. */
export function jobContext(signal = new AbortController().signal): JobContext {
  return {
    jobId: '1',
    addedAt: Date.now(),
    start: 1,
    isLastAttempt: false,
    signal,
    waitSignal: signal,
    callSignal: signal,
    releaseDeduplication: () => Promise.resolve(),
  };
}
