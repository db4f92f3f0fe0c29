/** Builds something that one side waits for and the other rings. A ring that nobody has heard yet is heard by the next wait. */
export function createBell() {
  let rung = false;
  let hear: (() => void) | undefined;
  return {
    ring: (): void => {
      rung = true;
      hear?.();
    },
    /** Resolves at the next ring, or after `ms` milliseconds. Never rejects. */
    async wait(ms: number): Promise<void> {
      if (!rung) {
        await new Promise<void>((resolve) => {
          const timer = setTimeout(resolve, ms);
          hear = () => {
            clearTimeout(timer);
            resolve();
          };
        });
      }
      rung = false;
      hear = undefined;
    },
  };
}
