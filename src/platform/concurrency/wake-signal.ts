/** Something that one side waits for and the other rings. A ring that nobody has heard yet is heard by the next wait. */
interface Bell {
  readonly ring: () => void;
  /** Resolves at the next ring, or after `ms` milliseconds. Never rejects. */
  wait(ms: number): Promise<void>;
}

/** Builds a {@link Bell} for one waiting side. */
export function createBell(): Bell {
  let rung = false;
  let hear: (() => void) | undefined;
  return {
    ring() {
      rung = true;
      hear?.();
    },
    async wait(ms) {
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
