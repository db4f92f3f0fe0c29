/** When users want what is not cached: seldom at night, in bursts by day, and on some days much. */

export const dayMs = 86_400_000;
const hourMs = 3_600_000;

/** A number from 0 to 1; the same ones in every run. */
export type Random = () => number;

/** A generator of the same numbers for the same seed. */
export function createRandom(seed: number): Random {
  let state = seed;
  return () => {
    state = (state * 1_664_525 + 1_013_904_223) % 2 ** 32;
    return state / 2 ** 32;
  };
}

/** Calls of one burst, and how they are spread. */
const burst = { least: 8, more: 17, spreadMs: 240_000 };
/** Every so many days one is three times as busy. */
const busyEvery = 9;

/** Moments at which a user waits for a call, in order. Half comes in bursts. */
export function interactiveArrivals(
  { from, until, interactivePerDay }: { from: number; until: number; interactivePerDay: number },
  random: Random,
): number[] {
  const arrivals: number[] = [];
  for (let begin = from, day = 1; begin < until; begin += dayMs, day += 1) {
    const wanted = interactivePerDay * (day % busyEvery === 0 ? 3 : 0.6 + 0.6 * random());
    let sum = 0;
    while (sum < wanted) {
      const size = random() < 0.06 ? burst.least + Math.floor(burst.more * random()) : 1;
      // Between 7 and 23 o'clock, most of it in the middle.
      const at = begin + 7 * hourMs + 8 * hourMs * (random() + random());
      for (let i = 0; i < size; i += 1) arrivals.push(at + burst.spreadMs * random() * (size > 1 ? 1 : 0));
      sum += size;
    }
  }
  return arrivals.filter((at) => at < until).sort((a, b) => a - b);
}
