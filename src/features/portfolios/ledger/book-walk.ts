/**
 * Which of some new transactions can join the books without a holding ever becoming negative, told from nothing but their
 * movements in the order of the books. What is in the books stays covered: a new one is refused where less is held at any
 * time from then on than it takes. Of new ones that compete for the same holding the earlier gets it, and what a refused one
 * would have brought in does not count. What was refused stays so, even where a later refusal leaves room for it: a later
 * import takes it.
 *
 * One walk over all assets at once decides, because a transaction can only lack what earlier ones did not bring. But what is
 * in the books may be sold later than a new swap brings it in; where an earlier new sale relied on that swap and it is
 * refused, the walk is made again without it: a few times, and then once counting nothing ahead that could still be refused.
 */
import type { Amount } from './amount.ts';

/** A movement of the holding of an asset. */
export interface BookMovement {
  /** Of a new one the transaction that it belongs to; null when it is in the books already. */
  readonly transactionId: string | null;
  readonly asset: string;
  /** More than zero for what comes in, less for what goes out. */
  readonly moved: Amount;
}

/** Why a new transaction does not fit. */
export interface Shortage {
  readonly asset: string;
  readonly wanted: Amount;
  /** The most that could go out at that moment; 0 or more. */
  readonly available: Amount;
}

/** After so many walks nothing is relied on that could still be refused. */
const mostWalks = 8;

/** A movement of a new transaction, by its place among those of its asset. */
interface Step {
  readonly line: AssetLine;
  readonly place: number;
  readonly moved: Amount;
}

interface Newcomer {
  readonly id: string;
  readonly steps: Step[];
  /** Whether it takes nothing, so that it fits always. */
  isCertain: boolean;
}

/** Movements taken up one by one in the order of the books. Those that are in the books already are not kept one by one. */
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
    for (let walk = 1; walk <= mostWalks; walk++) {
      const isCareful = walk === mostWalks;
      const left = [...this.#newcomers.values()].filter(({ id }) => !refused.has(id));
      this.#look(left, isCareful);
      if (!walkOver(left, isCareful, refused)) break;
    }
    return refused;
  }

  /** Tells every asset what is to come. */
  #look(newcomers: readonly Newcomer[], isCareful: boolean): void {
    for (const line of this.#lines.values()) line.begin();
    for (const { steps, isCertain } of newcomers) {
      if (isCareful && !isCertain) continue;
      for (const { line, place, moved } of steps) if (moved > 0n) line.expect(place, moved);
    }
    for (const line of this.#lines.values()) line.look();
  }
}

/** Decides on all in their order. Returns whether something relied on what was then refused. */
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

/** Takes what a transaction takes, and what it brings where that was not expected; or nothing, and tells what is short. */
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

/** What is held of one asset. New movements have places; of what is in the books only the least between places is kept. */
class AssetLine {
  readonly asset: string;
  /** During a walk: what is held less from here on than was looked ahead to. */
  taken: Amount = 0n;
  #settled: Amount = 0n;
  /** The least that the books hold from each place to the next. */
  readonly #least: Amount[] = [];
  /** The least that is held from each place on; before that is known, what is expected there. */
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

  /** The most that can go out at a place, now that the walk has come there. */
  available(place: number): Amount {
    return (this.#cover[place] ?? 0n) - this.taken;
  }
}
