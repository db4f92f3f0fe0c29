/**
 * Which of an asset's fresh movements take more than is there, told from nothing but the movements in their order: as
 * BookWalk does for all assets at once.
 */
import type { Amount } from './amount.ts';

/** A movement of the holding of one asset. */
export interface Movement {
  /** More than zero for what comes in, less for what goes out. */
  readonly moved: Amount;
  /** Whether it may be refused; the others are in the books already. */
  readonly isFresh: boolean;
}

/** A movement that takes more than can go out at its time. */
export interface Shortfall {
  /** Its place among the movements. */
  readonly index: number;
  readonly wanted: Amount;
  /** The most that could go out; 0 or more. */
  readonly available: Amount;
}

/** Movements of one asset, taken up one by one in the order of the books: two amounts each are held, nothing else. */
export class HoldingLine {
  readonly #moved: Amount[] = [];
  readonly #isFresh: boolean[] = [];

  add({ moved, isFresh }: Movement): void {
    this.#moved.push(moved);
    this.#isFresh.push(isFresh);
  }

  /**
   * What does not fit. A movement out is refused where less is held at any time from then on than it takes, so that what is
   * in the books stays covered; of fresh ones that compete the earlier gets it.
   */
  shortfalls(): Shortfall[] {
    const cover = this.#cover();
    const found: Shortfall[] = [];
    let taken = 0n;
    for (const [index, moved] of this.#moved.entries()) {
      if (moved >= 0n || this.#isFresh[index] !== true) continue;
      const left = (cover[index] ?? 0n) - taken;
      if (-moved <= left) taken -= moved;
      else found.push({ index, wanted: -moved, available: left < 0n ? 0n : left });
    }
    return found;
  }

  /** The least that is held from each movement on, if no fresh one went out. */
  #cover(): Amount[] {
    let holding = 0n;
    const cover = this.#moved.map((moved, index) => {
      if (moved > 0n || this.#isFresh[index] !== true) holding += moved;
      return holding;
    });
    for (let index = cover.length - 2; index >= 0; index--) {
      const [here = 0n, next = 0n] = [cover[index], cover[index + 1]];
      if (next < here) cover[index] = next;
    }
    return cover;
  }
}
