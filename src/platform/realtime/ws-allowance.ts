/** A bucket of tokens: so many messages a second, and as many at once. */
export class MessageAllowance {
  readonly #perSecond: number;
  #left: number;
  #filledAt: number;

  /** `now` in milliseconds since the epoch. */
  constructor(perSecond: number, now: number) {
    this.#perSecond = perSecond;
    this.#left = perSecond;
    this.#filledAt = now;
  }

  /** Whether one more is allowed. */
  take(now: number): boolean {
    const since = Math.max(0, now - this.#filledAt);
    this.#left = Math.min(this.#perSecond, this.#left + (since * this.#perSecond) / 1000);
    this.#filledAt = now;
    if (this.#left < 1) return false;
    this.#left -= 1;
    return true;
  }
}
