/** What holds for every ledger, tried on random ones by every method. */
import { costBasisMethods, type TransactionType } from '../../../src/domain/bookkeeping.ts';
import { expect } from 'chai';
import fc from 'fast-check';
import { daysOf } from '../../../src/features/portfolios/ledger/days.ts';
import { createAssetLedger } from '../../../src/features/portfolios/ledger/asset-ledger.ts';
import { createLedger, type AssetStanding, type Ledger } from '../../support/ledger.ts';
import { readCheckpoint, writeCheckpoint } from '../../../src/features/portfolios/ledger/checkpoint.ts';
import { comparePostings, postingsOf } from '../../../src/features/portfolios/ledger/postings.ts';
import type { Fee, Leg, Transaction } from '../../../src/features/portfolios/ledger/transaction.ts';

const assets = ['a', 'b', 'c'];
const hourMs = 3_600_000;
const startsAt = Date.UTC(2020, 0, 1);

interface Seed {
  hour: number;
  type: TransactionType;
  asset: number;
  other: number;
  quantity: bigint;
  share: number;
  value: bigint;
  fee: { asset: number | null; share: number; value: bigint } | null;
}

const seed: fc.Arbitrary<Seed> = fc.record({
  // Few distinct hours: equal moments and equal days are the rule.
  hour: fc.integer({ min: 0, max: 24 * 90 }).map((hour) => hour - (hour % 5)),
  type: fc.constantFrom<TransactionType>(
    'buy',
    'buy',
    'sell',
    'swap',
    'transfer_in',
    'transfer_out',
    'reward',
    'fee',
  ),
  asset: fc.nat(2),
  other: fc.nat(2),
  quantity: fc.bigInt({ min: 1n, max: 10n ** 24n }),
  share: fc.integer({ min: 1, max: 100 }),
  value: fc.bigInt({ min: 0n, max: 10n ** 24n }),
  fee: fc.option(
    fc.record({
      asset: fc.option(fc.nat(2)),
      share: fc.integer({ min: 1, max: 5 }),
      value: fc.bigInt({ min: 1n, max: 10n ** 18n }),
    }),
  ),
});

/** Transactions in time order that never take more than is held. */
function historyOf(seeds: readonly Seed[]): Transaction[] {
  const holdings = new Map<string, bigint>();
  const held = (asset: string): bigint => holdings.get(asset) ?? 0n;
  const move = (asset: string, by: bigint): void => void holdings.set(asset, held(asset) + by);
  const history: Transaction[] = [];
  seeds
    .toSorted((x, y) => x.hour - y.hour)
    .forEach((each, index) => {
      const asset = assets[each.asset]!;
      const other = assets[each.other]!;
      const goes = (held(asset) * BigInt(each.share)) / 100n;
      const outward = ['sell', 'swap', 'transfer_out', 'fee'].includes(each.type);
      if (outward && (goes === 0n || (each.type === 'swap' && other === asset))) return;
      const into = each.type === 'swap' ? other : asset;
      const received: Leg | null =
        each.type === 'swap' || !outward ? { asset: into, quantity: each.quantity } : null;
      const sent: Leg | null = outward ? { asset, quantity: goes } : null;
      if (received !== null) move(received.asset, received.quantity);
      if (sent !== null) move(sent.asset, -sent.quantity);
      const fee = each.type === 'fee' ? null : feeOf(each, held, move);
      history.push({
        id: `t${String(index).padStart(4, '0')}`,
        type: each.type,
        // One moment each, in the order made, so that the fixed order of equal moments cannot overdraw.
        at: startsAt + each.hour * hourMs + index,
        sequence: 0,
        received,
        sent,
        value: each.value,
        fee,
      });
    });
  return history;
}

function feeOf(
  { fee }: Seed,
  held: (asset: string) => bigint,
  move: (asset: string, by: bigint) => void,
): Fee | null {
  if (fee === null) return null;
  if (fee.asset === null) return { asset: null, quantity: fee.value, value: fee.value };
  const asset = assets[fee.asset]!;
  const quantity = (held(asset) * BigInt(fee.share)) / 100n;
  if (quantity === 0n) return null;
  move(asset, -quantity);
  return { asset, quantity, value: fee.value };
}

const series = fc.array(seed, { minLength: 1, maxLength: 120 }).map(historyOf);
const methods = fc.constantFrom(...costBasisMethods);

function standings(ledger: Ledger): Record<string, AssetStanding | undefined> {
  return Object.fromEntries(assets.map((asset) => [asset, ledger.snapshot(asset)]));
}

const sum = (amounts: readonly bigint[]): bigint => amounts.reduce((total, each) => total + each, 0n);

describe('any ledger', () => {
  it('has lots that add up to the holding, which is what came in less what went out', () => {
    fc.assert(
      fc.property(methods, series, (method, history) => {
        const ledger = createLedger({ method }, history);
        for (const asset of ledger.assets()) {
          const { holding, lots } = ledger.snapshot(asset)!;
          const moves = history.flatMap(postingsOf).filter((posting) => posting.asset === asset);
          const signed = moves.map(({ kind, quantity }) =>
            kind === 'acquire' || kind === 'transfer_in' ? quantity : -quantity,
          );
          expect(sum(lots.map(({ quantity }) => quantity))).to.equal(holding);
          expect(sum(signed)).to.equal(holding);
          expect(lots.every(({ quantity, basis }) => quantity > 0n && basis >= 0n)).to.equal(true);
        }
      }),
    );
  });

  it('conserves the cost basis to the last digit', () => {
    fc.assert(
      fc.property(methods, series, (method, history) => {
        const ledger = createLedger({ method }, history);
        for (const asset of ledger.assets()) {
          const { lots, tally, lotMatches } = ledger.snapshot(asset)!;
          const acquired = history
            .flatMap(postingsOf)
            .filter(
              (each) => each.asset === asset && (each.kind === 'acquire' || each.kind === 'transfer_in'),
            );
          const out = (kind: string): bigint =>
            sum(lotMatches.filter((each) => each.kind === kind).map(({ basis }) => basis));
          const open = sum(lots.map(({ basis }) => basis));
          expect(sum(acquired.map(({ value }) => value))).to.equal(open + out('disposal') + out('transfer'));
          expect(tally).to.deep.include({ consumed: out('disposal'), left: out('transfer') });
          expect(tally.acquired).to.equal(open + tally.consumed + tally.left);
        }
      }),
    );
  });

  it('has realised + unrealised = value + proceeds - costs', () => {
    fc.assert(
      fc.property(
        methods,
        series,
        fc.array(fc.bigInt({ min: 0n, max: 10n ** 22n }), { minLength: 3, maxLength: 3 }),
        (method, history, values) => {
          const ledger = createLedger({ method }, history);
          // Proceeds and costs straight from the transactions; the basis that left with transfers is no cost.
          let proceeds = 0n;
          let costs = 0n;
          for (const { type, received, sent, value, fee } of history) {
            const cash = fee?.value ?? 0n;
            if (received !== null) costs += type === 'buy' || type === 'swap' ? value + cash : value;
            if (sent !== null && type !== 'transfer_out') proceeds += type === 'sell' ? value - cash : value;
            if (fee !== null && fee.asset !== null) proceeds += fee.value;
          }
          let pnl = 0n;
          let worth = 0n;
          assets.forEach((asset, index) => {
            const snapshot = ledger.snapshot(asset);
            if (snapshot === undefined) return;
            const value = snapshot.holding === 0n ? 0n : values[index]!;
            worth += value;
            pnl += value - sum(snapshot.lots.map(({ basis }) => basis));
            for (const each of snapshot.lotMatches)
              if (each.kind === 'disposal') pnl += each.proceeds - each.basis;
            costs -= snapshot.tally.left;
          });
          expect(pnl).to.equal(worth + proceeds - costs);
        },
      ),
    );
  });

  it('divides the quantity and the proceeds of each disposal without rest', () => {
    fc.assert(
      fc.property(methods, series, (method, history) => {
        const ledger = createLedger({ method }, history);
        for (const posting of history.flatMap(postingsOf)) {
          if (posting.kind === 'acquire' || posting.kind === 'transfer_in') continue;
          const rows = ledger
            .snapshot(posting.asset)!
            .lotMatches.filter(
              (row) => row.transaction === posting.transaction.id && row.isFee === posting.isFee,
            );
          expect(sum(rows.map(({ quantity }) => quantity))).to.equal(posting.quantity);
          expect(sum(rows.map(({ proceeds }) => proceeds))).to.equal(posting.value);
        }
      }),
    );
  });

  it('is the same in whatever order its transactions were given, also those of one moment', () => {
    fc.assert(
      fc.property(methods, series, fc.infiniteStream(fc.nat()), (method, history, random) => {
        const inflows = history.filter(({ sent, fee }) => sent === null && fee?.asset == null);
        const sameMoment = inflows.map((each) => ({ ...each, at: startsAt }));
        const shuffled = sameMoment
          .map((each) => ({ each, key: random.next().value }))
          .sort((x, y) => x.key - y.key)
          .map(({ each }) => each);
        expect(standings(createLedger({ method }, shuffled))).to.deep.equal(
          standings(createLedger({ method }, sameMoment)),
        );
      }),
    );
  });

  it('kept by appending, back-dating, replacing and removing equals one built at once', () => {
    fc.assert(
      fc.property(methods, series, fc.array(fc.nat(), { maxLength: 20 }), (method, history, picks) => {
        const late = new Set(picks.map((pick) => history[pick % history.length]?.id));
        // What only comes in can be left out at first, if the rest works without it.
        const isLate = ({ id, sent, fee }: Transaction): boolean =>
          late.has(id) && sent === null && fee?.asset == null;
        const rest = history.filter((each) => !isLate(each));
        const ledger = createLedger({ method });
        const cover = assets.map((asset): Transaction => {
          const received = { asset, quantity: 10n ** 30n };
          const at = startsAt - 1;
          return {
            id: `cover-${asset}`,
            type: 'buy',
            at,
            sequence: 0,
            received,
            sent: null,
            value: 1n,
            fee: null,
          };
        });
        ledger.apply({ add: cover });
        for (const each of rest) ledger.apply({ add: [each] });
        for (const each of history.filter(isLate))
          ledger.apply({ add: [{ ...each, value: each.value + 1n }] });
        for (const each of history.filter(isLate)) ledger.apply({ remove: [each.id], add: [each] });
        const built = standings(createLedger({ method }, [...cover, ...history]));
        expect(standings(ledger)).to.deep.equal(built);
        ledger.apply({ remove: cover.map(({ id }) => id) });
        const plain = createLedger({ method }, history);
        for (const asset of plain.assets())
          expect(ledger.snapshot(asset)).to.deep.equal(plain.snapshot(asset));
      }),
    );
  });

  it('goes on from any stored mark to the same end', () => {
    fc.assert(
      fc.property(methods, series, fc.nat(), (method, history, pick) => {
        const options = { method, dayOf: daysOf('UTC') };
        const postings = history
          .flatMap(postingsOf)
          .filter(({ asset }) => asset === 'a')
          .sort(comparePostings);
        const cut = pick % (postings.length + 1);
        const whole = createAssetLedger(options);
        whole.append(postings);
        const first = createAssetLedger(options);
        first.append(postings.slice(0, cut));
        const checkpoint = readCheckpoint(writeCheckpoint(first.checkpoints().at(-1)!, method), method)!;
        const second = createAssetLedger(options, checkpoint);
        second.append(postings.slice(cut));
        const [end, all] = [second.snapshot(), whole.snapshot()];
        expect({ ...end, lotMatches: all.lotMatches.slice(checkpoint.settled) }).to.deep.equal({
          ...all,
          lotMatches: end.lotMatches,
        });
        expect(second.checkpoints().at(-1)!.count).to.equal(postings.length);
      }),
    );
  });
});

describe('a long ledger', () => {
  it('is the same after back-dated changes anywhere, across its marks', () => {
    for (const method of costBasisMethods) {
      const history = Array.from({ length: 3_000 }, (_, index): Transaction => {
        const leg = { asset: 'a', quantity: BigInt(1 + ((index * 7_919) % 997)) };
        const comesIn = index % 3 !== 2 || index < 10;
        return {
          id: `t${String(index).padStart(5, '0')}`,
          type: comesIn ? 'buy' : 'sell',
          at: startsAt + index * 7 * hourMs,
          sequence: 0,
          received: comesIn ? { ...leg, quantity: leg.quantity + 1_000n } : null,
          sent: comesIn ? null : leg,
          value: BigInt((index * 104_729) % 10_007),
          fee: null,
        };
      });
      const back = (index: number): Transaction => ({
        ...history[index]!,
        id: `back${index}`,
        type: 'buy',
        received: { asset: 'a', quantity: 5n },
        sent: null,
      });
      const ledger = createLedger({ method }, history);
      // The earliest first: what follows it in time would otherwise be put right by its replay.
      const extra = [3, 2_999, 2_900, 2_000, 1_000, 511, 257, 256, 255, 254].map(back);
      for (const each of extra) ledger.apply({ add: [each] });
      expect(ledger.snapshot('a'), method).to.deep.equal(
        createLedger({ method }, [...history, ...extra]).snapshot('a'),
      );
      for (const each of extra) ledger.apply({ remove: [each.id] });
      expect(ledger.snapshot('a'), method).to.deep.equal(createLedger({ method }, history).snapshot('a'));
      expect(ledger.checkpoints('a').length).to.be.within(3, 20);
    }
  });
});

/**
 * The statute read literally, disposal by disposal: same day, then the earliest acquisitions of the 30 days after, then the
 * pool. In exact fractions of a quantity that divides everything, to be compared without rounding.
 */
function literally(days: readonly { buys: number; sells: number }[]): number[][] {
  const left = days.map(({ buys }) => buys);
  const open = days.map(({ sells }) => sells);
  const taken = days.map((): number[] => [0, 0, 0]);
  const match = (day: number, from: number, rule: number): void => {
    const quantity = Math.min(open[day]!, left[from]!);
    open[day]! -= quantity;
    left[from]! -= quantity;
    taken[day]![rule]! += quantity;
  };
  days.forEach((_, day) => match(day, day, 0));
  days.forEach((_, day) => {
    for (let after = day + 1; after <= Math.min(day + 30, days.length - 1); after++) match(day, after, 1);
  });
  open.forEach((quantity, day) => (taken[day]![2] = quantity));
  return taken;
}

describe('uk_pool', () => {
  it('matches what the statute, read disposal by disposal, matches', () => {
    const day = fc.record({ buys: fc.constantFrom(0, 0, 1, 3, 8), sells: fc.constantFrom(0, 0, 2, 5) });
    fc.assert(
      fc.property(fc.array(day, { minLength: 1, maxLength: 100 }), (days) => {
        const at = (index: number, hour: number): number => startsAt + index * 24 * hourMs + hour * hourMs;
        const base = { sequence: 0, received: null, sent: null, value: 1n, fee: null };
        const leg = (quantity: number): Leg => ({ asset: 'a', quantity: BigInt(quantity) });
        const history: Transaction[] = [
          { ...base, id: 'cover', type: 'buy', at: at(-100, 0), received: leg(1_000) },
          ...days.flatMap(({ buys, sells }, index): Transaction[] => [
            ...(sells > 0
              ? [{ ...base, id: `s${index}`, type: 'sell' as const, at: at(index, 1), sent: leg(sells) }]
              : []),
            ...(buys > 0
              ? [{ ...base, id: `b${index}`, type: 'buy' as const, at: at(index, 2), received: leg(buys) }]
              : []),
          ]),
        ];
        const rows = createLedger({ method: 'uk_pool' }, history).snapshot('a')!.lotMatches;
        const expected = literally(days);
        const rules = ['same_day', 'thirty_days', 'pool'];
        days.forEach((_, index) => {
          const own = rows.filter((row) => row.transaction === `s${index}`);
          const quantities = rules.map((rule) =>
            Number(sum(own.filter((row) => row.rule === rule).map(({ quantity }) => quantity))),
          );
          expect(quantities).to.deep.equal(expected[index]);
        });
      }),
    );
  });
});
