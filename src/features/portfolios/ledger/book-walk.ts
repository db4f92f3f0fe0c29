/**
 * Decides which new transactions can join the books without a holding ever becoming negative, using only movements in the order
 * of the books. Existing transactions stay covered: a new one is refused if at any later time less is held than it takes. Of
 * new ones that compete for the same holding the earlier one gets it, and what a refused one would have brought in does not
 * count. A refused transaction stays refused, even if a later refusal leaves room for it: a later import adds it.
 *
 * One walk over all assets decides, because a transaction can only be short of what earlier ones did not bring in. But an
 * existing sale may come after a new swap that brings in the asset; if an earlier new sale relied on that swap and it is
 * refused, the walk is repeated without it: a few times, and then once without counting on anything later that could still be
 * refused.
 */
import type { Amount } from './amount.ts';

/** A movement of the holding of an asset. */
export interface BookMovement {
  /** The new transaction that it belongs to; null for an existing one. */
  readonly transactionId: string | null;
  readonly asset: string;
  /** Positive for what comes in, negative for what goes out. */
  readonly moved: Amount;
}

/** Why a new transaction does not fit. */
export interface Shortage {
  readonly asset: string;
  readonly wanted: Amount;
  /** The most that could go out at that time; 0 or more. */
  readonly available: Amount;
}

/** After this number of walks, nothing is counted on that could still be refused. */
const maxWalks = 8;

/** A movement of a new transaction, by its index among those of its asset. */
interface Step {
  readonly line: AssetLine;
  readonly place: number;
  readonly moved: Amount;
}

interface Newcomer {
  readonly id: string;
  readonly steps: Step[];
  /** Whether it takes nothing, so that it always fits. */
  isCertain: boolean;
}

/** Movements, added one by one in the order of the books. Existing ones are not kept individually. */
export class BookWalk {
  readonly #lines = new Map<string, AssetLine>();
  readonly #newcomers = new Map<string, Newcomer>();

  add({ transactionId, asset, moved }: BookMovement): void {
    const line = this.#lines.get(asset) ?? new AssetLine(asset);
    this.#lines.set(asset, line);
    if (transactionId === null) {
      line.settle(moved);
      return;
    }
    const newcomer = this.#newcomers.get(transactionId) ?? { id: transactionId, steps: [], isCertain: true };
    this.#newcomers.set(transactionId, newcomer);
    newcomer.steps.push({ line, place: line.addPlace(), moved });
    if (moved < 0n) newcomer.isCertain = false;
  }

  /** The new transactions that do not fit, by their ids; without them all others fit. */
  refused(): ReadonlyMap<string, Shortage> {
    const refused = new Map<string, Shortage>();
    for (let walk = 1; walk <= maxWalks; walk++) {
      const isCareful = walk === maxWalks;
      const left = [...this.#newcomers.values()].filter(({ id }) => !refused.has(id));
      this.#look(left, isCareful);
      if (!walkOver(left, isCareful, refused)) break;
    }
    return refused;
  }

  /** Gives every asset its expected movements. */
  #look(newcomers: readonly Newcomer[], isCareful: boolean): void {
    for (const line of this.#lines.values()) line.begin();
    for (const { steps, isCertain } of newcomers) {
      if (isCareful && !isCertain) continue;
      for (const { line, place, moved } of steps) if (moved > 0n) line.expect(place, moved);
    }
    for (const line of this.#lines.values()) line.look();
  }
}

/** Decides on all of them in order. Returns whether one relied on another that was then refused. */
function walkOver(
  newcomers: readonly Newcomer[],
  isCareful: boolean,
  refused: Map<string, Shortage>,
): boolean {
  let isBroken = false;
  for (const { id, steps, isCertain } of newcomers) {
    const isExpected = isCertain || !isCareful;
    const shortage = shortageOf(steps, isExpected);
    if (shortage === undefined) continue;
    refused.set(id, shortage);
    if (!isExpected) continue;
    for (const { line, place, moved } of steps) {
      if (moved <= 0n) continue;
      line.taken += moved;
      if (line.available(place) < 0n) isBroken = true;
    }
  }
  return isBroken;
}

/**
 * Applies what a transaction takes, and what it brings if that was not expected; or applies nothing, and returns the shortage.
 */
function shortageOf(steps: readonly Step[], isExpected: boolean): Shortage | undefined {
  for (const [index, { line, place, moved }] of steps.entries()) {
    if (moved > 0n && isExpected) continue;
    const available = line.available(place);
    if (-moved <= available || moved >= 0n) {
      line.taken -= moved;
      continue;
    }
    for (const done of steps.slice(0, index)) {
      if (done.moved <= 0n || !isExpected) done.line.taken += done.moved;
    }
    return { asset: line.asset, wanted: -moved, available: available < 0n ? 0n : available };
  }
  return undefined;
}

/** The holding of one asset. New movements have indexes; of the existing ones only the minimum between two indexes is kept. */
class AssetLine {
  readonly asset: string;
  /** During a walk: how much less is held from here on than was expected. */
  taken: Amount = 0n;
  #settled: Amount = 0n;
  /** The minimum that the books hold from each index to the next. */
  readonly #least: Amount[] = [];
  /** The minimum held from each index on; before that is known, the expected value. */
  #cover: Amount[] = [];

  constructor(asset: string) {
    this.asset = asset;
  }

  settle(moved: Amount): void {
    this.#settled += moved;
    const last = this.#least.length - 1;
    if (last >= 0 && this.#settled < (this.#least[last] ?? 0n)) this.#least[last] = this.#settled;
  }

  addPlace(): number {
    return this.#least.push(this.#settled) - 1;
  }

  begin(): void {
    this.taken = 0n;
    this.#cover = this.#least.map(() => 0n);
  }

  expect(place: number, moved: Amount): void {
    this.#cover[place] = moved;
  }

  look(): void {
    let expected = 0n;
    const cover = this.#least.map((least, place) => {
      expected += this.#cover[place] ?? 0n;
      return least + expected;
    });
    for (let place = cover.length - 2; place >= 0; place--) {
      const [here = 0n, next = 0n] = [cover[place], cover[place + 1]];
      if (next < here) cover[place] = next;
    }
    this.#cover = cover;
  }

  /** The most that can go out at an index that the walk has reached. */
  available(place: number): Amount {
    return (this.#cover[place] ?? 0n) - this.taken;
  }
}
