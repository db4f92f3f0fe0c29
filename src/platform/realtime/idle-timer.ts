import { lookEveryMs } from './stream-registry.ts';

/** Proxies cut a silent connection after some 60 s, and clients wonder sooner. */
const longestSilenceMs = 15_000;

/** The time in which nothing was written to a client, counted in looks: a clock for each write would cost more. */
export class Silence {
  #looks = 0;

  /** Something was written. */
  end(): void {
    this.#looks = 0;
  }

  /** To be asked at every look; true when it is time for a sign of life. */
  isLong(): boolean {
    this.#looks += 1;
    return this.#looks * lookEveryMs >= longestSilenceMs;
  }
}
