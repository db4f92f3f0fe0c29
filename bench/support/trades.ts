/** A portfolio that is the same in every run: purchases, sales, swaps and rewards that never take more than is held. */
import { oneUnit } from '../../src/features/portfolios/ledger/amount.ts';
import type { Transaction } from '../../src/features/portfolios/ledger/transaction.ts';

/** Assets that are traded. */
export const tradedAssets: readonly string[] = Array.from({ length: 30 }, (_, index) => `asset-${index}`);

/** Eight years. */
export const tradedMs = 8 * 365.25 * 86_400_000;

/** A small generator (mulberry32) of numbers from 0 to 1. */
export function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

/** `size` transactions, evenly over {@link tradedMs} from `startsAt` on. */
export function tradesOf(size: number, startsAt: number): Transaction[] {
  const random = seeded(size);
  const holdings = new Map<string, bigint>();
  return Array.from({ length: size }, (_, index) => {
    const asset = tradedAssets[index % tradedAssets.length] ?? '';
    const other = tradedAssets[Math.floor(random() * tradedAssets.length)] ?? '';
    const held = holdings.get(asset) ?? 0n;
    const quantity = BigInt(Math.floor(random() * 1e15) + 1) * 1_000n;
    const kind = random();
    const goes = held / 2n > quantity ? quantity : held / 2n;
    const base = {
      id: `00000000-0000-7000-8000-${String(index).padStart(12, '0')}`,
      at: startsAt + Math.floor((index / size) * tradedMs),
      sequence: 0,
      value: BigInt(Math.floor(random() * 1e9) + 1) * 10n ** 12n,
      fee: random() < 0.3 ? { asset: null, quantity: oneUnit / 10n, value: oneUnit / 10n } : null,
    };
    const add = (name: string, amount: bigint): void =>
      void holdings.set(name, (holdings.get(name) ?? 0n) + amount);
    if (kind < 0.6 || goes <= 0n || (kind < 0.8 && other === asset)) {
      add(asset, quantity);
      return { ...base, type: 'buy', received: { asset, quantity }, sent: null };
    }
    add(asset, -goes);
    if (kind < 0.8) {
      add(other, quantity);
      return {
        ...base,
        type: 'swap',
        received: { asset: other, quantity },
        sent: { asset, quantity: goes },
      };
    }
    return { ...base, type: 'sell', received: null, sent: { asset, quantity: goes } };
  });
}
