/** Runs of this process, so that an order to abandon one finds it. */
export interface Abandonments {
  /** A signal that aborts when the work is abandoned. `forget` must be called when the run is over. */
  watch(workKey: string): { readonly signal: AbortSignal; forget(): void };
  /** Aborts the runs of a work. */
  abandon(workKey: string): void;
}

/** Builds an empty register. */
export function createAbandonments(): Abandonments {
  const runs = new Map<string, Set<AbortController>>();
  return {
    watch(workKey) {
      const controller = new AbortController();
      const controllers = runs.get(workKey) ?? new Set();
      runs.set(workKey, controllers.add(controller));
      return {
        signal: controller.signal,
        forget() {
          controllers.delete(controller);
          if (controllers.size === 0) runs.delete(workKey);
        },
      };
    },
    abandon(workKey) {
      for (const controller of runs.get(workKey) ?? [])
        controller.abort(new Error('nobody waits for this work'));
    },
  };
}
