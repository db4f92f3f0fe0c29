import { toError } from '../../platform/concurrency/sleep.ts';

/**
 * Deadlines that hold even for a process that was stopped (SIGSTOP, a suspended machine). Timers do not help there: after
 * SIGCONT the event loop may run the callback of an established connection before it runs the timer that was to abort it, and
 * the request goes out long after the budget stopped counting it. So the signal carries the time after which a call must not
 * start, and the code that writes the request checks the clock itself.
 */
export interface Stopwatch {
  /** Milliseconds since the start, including time in which the process or the machine was suspended. */
  elapsedMs(): number;
}

/** Starts a {@link Stopwatch}. */
export function startStopwatch(): Stopwatch {
  const monotonic = performance.now();
  const wall = Date.now();
  // The monotonic clock stops while a machine is suspended, the wall clock does not: the larger value is safe.
  return { elapsedMs: () => Math.max(performance.now() - monotonic, Date.now() - wall) };
}

const deadlines = new WeakMap<AbortSignal, () => boolean>();

/** A signal that aborts with its parent, or with `reason()` after `ms` milliseconds. */
export function signalWithDeadline(options: {
  readonly parent: AbortSignal | undefined;
  readonly ms: number;
  /** Time that counts towards `ms`; a new one when absent. */
  readonly since?: Stopwatch;
  /** Reason of the abort when the time is over. */
  readonly reason: () => Error;
}): {
  readonly signal: AbortSignal;
  /** Frees the timer and the listener on the parent. The signal never aborts afterwards. */
  readonly dispose: () => void;
} {
  const { parent, ms, reason } = options;
  const since = options.since ?? startStopwatch();
  const controller = new AbortController();
  const follow = (): void => controller.abort(toError(parent?.reason));
  const timer = setTimeout(() => controller.abort(reason()), Math.max(0, ms - since.elapsedMs()));
  if (parent?.aborted === true) follow();
  else parent?.addEventListener('abort', follow, { once: true });
  deadlines.set(
    controller.signal,
    () => since.elapsedMs() >= ms || (parent !== undefined && isTooLate(parent)),
  );
  return {
    signal: controller.signal,
    dispose: () => {
      clearTimeout(timer);
      parent?.removeEventListener('abort', follow);
    },
  };
}

/** True when a request under this signal must no longer be written, whether or not its timer has run yet. */
export function isTooLate(signal: AbortSignal): boolean {
  return signal.aborted || (deadlines.get(signal)?.() ?? false);
}
