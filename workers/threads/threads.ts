/** What a task asks of the pool of threads (workers/runtime/thread-pool.ts). */
export interface Threads {
  /**
   * Runs the default export of a file in a thread, with `input` as its argument.
   * @param file URL of the file: a task's own module says `import.meta.url`.
   * @throws {Error} too many tasks wait already: the caller's job is tried again later.
   */
  run<O>(
    file: string,
    input: unknown,
    options: {
      /** Buffers of the input that are handed over instead of cloned: they are empty afterwards. */
      readonly transfer: readonly ArrayBuffer[];
      /** Takes more than some 50 ms: it runs in threads of its kind, so that short tasks never wait behind it. */
      readonly isLong: boolean;
    },
  ): Promise<O>;
}
