/** The value below which `share` (0..1) of the values lie; NaN when there are none. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? NaN;
}

/** The middle value. */
export function median(values: readonly number[]): number {
  return percentile(values, 0.5);
}

/** `12.3 ms`, or `1.23 s` from a second on. */
export function ms(value: number): string {
  return value < 1_000 ? `${value.toFixed(1)} ms` : `${(value / 1_000).toFixed(2)} s`;
}

/** `0.83 x` */
export function times(ratio: number): string {
  return `${ratio.toFixed(2)} x`;
}

/** Made-up assets of the market, from number `first` (1 is the first) on. */
export function madeUp(first: number, count: number): string[] {
  return Array.from({ length: count }, (_, index) => `sim-${String(first + index).padStart(5, '0')}`);
}

/** `count` different entries of a list, at random. */
export function pick<T>(list: readonly T[], count: number): T[] {
  const left = [...list];
  const picked: T[] = [];
  while (picked.length < count && left.length > 0) {
    picked.push(...left.splice(Math.floor(Math.random() * left.length), 1));
  }
  return picked;
}

/** Runs `work` for every entry, at most `width` at once. */
export async function inParallel<T>(
  entries: readonly T[],
  width: number,
  work: (entry: T) => Promise<void>,
): Promise<void> {
  const left = entries.values();
  const lane = async (): Promise<void> => {
    for (const entry of left) await work(entry);
  };
  await Promise.all(Array.from({ length: width }, lane));
}
