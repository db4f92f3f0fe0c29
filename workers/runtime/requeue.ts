/**
 * Thrown by a processor to return its job to the queue without counting an attempt: because the process is about to end, or
 * because nothing can be done before `delayMs` is over.
 */
export class Requeue extends Error {
  readonly delayMs: number;

  constructor(why: string, delayMs = 0) {
    super(why);
    this.name = 'Requeue';
    this.delayMs = delayMs;
  }
}
