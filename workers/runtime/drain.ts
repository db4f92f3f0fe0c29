import { Requeue } from './requeue.ts';

interface Running {
  readonly waits: AbortController;
  readonly calls: AbortController;
}

/** An upstream call under way is paid for: it gets this long (ms) to receive its response. */
const callGraceMs = 2_000;

/**
 * The end or the pause of a worker, as its jobs see it: waiting jobs stop first, and calls a moment later. Each running job has
 * signals of its own that end with it. Signals derived from one long-lived signal (`AbortSignal.any`) would stay registered
 * there, some hundred bytes for every job that ever ran.
 */
export function createDrain() {
  const running = new Set<Running>();
  const reason = new Requeue('this worker stops');
  let begun = false;
  return {
    /** Signals of a job that starts; `signal` aborts when the job is taken away. Call `end` when the job is over. */
    watch(signal: AbortSignal) {
      const job: Running = { waits: new AbortController(), calls: new AbortController() };
      const takenAway = (): void => {
        job.waits.abort(signal.reason);
        job.calls.abort(signal.reason);
      };
      signal.addEventListener('abort', takenAway, { once: true });
      running.add(job);
      if (signal.aborted) takenAway();
      if (begun) job.waits.abort(reason);
      return {
        waits: job.waits.signal,
        calls: job.calls.signal,
        /** Stops the job if it waits; one that works goes on. */
        stopWaiting: (why: Requeue): void => job.waits.abort(why),
        end(): void {
          running.delete(job);
          signal.removeEventListener('abort', takenAway);
        },
      };
    },
    /** The worker stops: jobs put themselves back. */
    begin(): void {
      begun = true;
      const inHand = [...running];
      for (const { waits } of inHand) waits.abort(reason);
      setTimeout(() => {
        for (const { calls } of inHand) calls.abort(reason);
      }, callGraceMs).unref();
    },
    /** The worker goes on: jobs that start from now on run. */
    end(): void {
      begun = false;
    },
  };
}
