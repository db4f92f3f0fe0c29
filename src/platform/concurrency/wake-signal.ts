/** Builds a signal: one side waits for it, the other sets it. A signal that was set without a waiter wakes the next wait. */
export function createWakeSignal() {
  let isSet = false;
  let hear: (() => void) | undefined;
  return {
    wake: (): void => {
      isSet = true;
      hear?.();
    },
    /** Resolves at the next ring, or after `ms` milliseconds. Never rejects. */
    async wait(ms: number): Promise<void> {
      if (!isSet) {
        await new Promise<void>((resolve) => {
          const timer = setTimeout(resolve, ms);
          hear = () => {
            clearTimeout(timer);
            resolve();
          };
        });
      }
      isSet = false;
      hear = undefined;
    },
  };
}
