/** What the market's prices really were: whether a price that was given as fresh is one, and how old. */
import { createSimulatedSource } from '../../embedded/market/simulated-source.ts';
import { roundPrice } from '../../embedded/market/query-values.ts';
import { freshSeconds, marketOptions, stepMs } from './fleet.ts';

/** A price that was called fresh. */
export interface FreshPrice {
  readonly where: string;
  readonly id: string;
  readonly price: number;
  /** Moments (ms) between which it was judged: of the question and of its answer. */
  readonly requested: number;
  readonly answered: number;
  /** When it is said to have been received (ms). */
  readonly receivedAt?: number;
}

/** On top of `QUOTE_TTL`: a call that is under way (3 s at most), and what a busy machine adds. */
const toleranceMs = 5_000;

/** Keeps count of prices that were called fresh, and looks each up in the market. */
export interface Truth {
  readonly checked: number;
  readonly wrong: readonly string[];
  /** Longest true age (ms) of a price that was right. */
  readonly oldestMs: number;
  check(seen: FreshPrice): void;
  /** The price (usd) at a moment (ms), rounded as the market does. */
  priceAt(id: string, at: number): number;
}

const maxKept = 50;

/** Starts counting. */
export function createTruth(say: (text: string) => void): Truth {
  let moment = 0;
  const source = createSimulatedSource({ ...marketOptions, clock: { now: () => moment } });
  const wrong: string[] = [];
  let [checked, oldestMs] = [0, 0];

  const priceAt = (id: string, at: number): number => {
    moment = at;
    const price = source.priceAgo(id, 'usd', 0);
    return price === null ? NaN : roundPrice(price, undefined);
  };
  /** The newest step from `newest` back to `oldest` at which the market had this price. */
  const stepOf = (id: string, price: number, newest: number, oldest: number): number | undefined => {
    // Some calls ask for every digit, some do not.
    const rounded = roundPrice(price, undefined);
    for (let at = Math.ceil(newest / stepMs) * stepMs; at >= oldest - stepMs; at -= stepMs)
      if (priceAt(id, at) === rounded) return at;
    return undefined;
  };

  return {
    get checked() {
      return checked;
    },
    get oldestMs() {
      return oldestMs;
    },
    wrong,
    priceAt,
    check({ where, id, price, requested, answered, receivedAt }) {
      checked += 1;
      const step = stepOf(id, price, answered, requested - freshSeconds * 1_000 - toleranceMs);
      // A step lasts until the next one.
      const ageMs = step === undefined ? Infinity : Math.max(0, requested - step - stepMs);
      const isOfThen =
        receivedAt === undefined ||
        stepOf(id, price, receivedAt + toleranceMs, receivedAt - toleranceMs) !== undefined;
      if (step !== undefined) oldestMs = Math.max(oldestMs, ageMs);
      if (step !== undefined && isOfThen) return;
      const trueStep = stepOf(id, price, answered, requested - 900_000);
      const age =
        trueStep === undefined ? 'no price of the last 15 min' : `${(requested - trueStep) / 1_000} s old`;
      const claim = receivedAt === undefined ? '' : `, said to be ${(requested - receivedAt) / 1_000} s old`;
      const text = `${new Date(requested).toISOString()} ${where}: ${id} at ${price} is ${age}${claim}`;
      if (wrong.length < maxKept) {
        wrong.push(text);
        say(`WRONG PRICE ${text}`);
      }
    },
  };
}
