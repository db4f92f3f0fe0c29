import type { BudgetCallLog } from '../../../src/features/upstream/budget/redis-budget.ts';

/** A ledger on a clock that the test moves, with a switch to make it unreachable. */
export interface MemoryLedger extends BudgetCallLog {
  readonly rows: Map<string, { countedUntil: number; outcome: string | undefined; credits: number }>;
  /** What {@link BudgetCallLog.tell} was last given. */
  reported: { callsPerMinute: number | undefined; creditsPerMonth: number | undefined } | undefined;
  down: boolean;
  /** Runs after a grant has been written and before `record` resolves. */
  afterRecord: (() => Promise<void>) | undefined;
  /** Runs after the rows have been read and before `recent` resolves. */
  afterRecent: (() => Promise<void>) | undefined;
}

/** Builds an empty {@link MemoryLedger}. */
export function createMemoryLedger(now: () => number): MemoryLedger {
  let blockedUntil = 0;
  const check = (): void => {
    if (callLog.down) throw new Error('the ledger is down');
  };
  const callLog: MemoryLedger = {
    rows: new Map(),
    reported: undefined,
    down: false,
    afterRecord: undefined,
    afterRecent: undefined,
    async record({ id, lastsMs, credits = 1 }) {
      check();
      callLog.rows.set(id, { countedUntil: now() + lastsMs, outcome: undefined, credits });
      await callLog.afterRecord?.();
    },
    async settle({ id, outcome, answered }) {
      check();
      await Promise.resolve();
      const row = callLog.rows.get(id);
      if (row === undefined) return;
      row.outcome = outcome;
      if (answered) row.countedUntil = Math.min(row.countedUntil, now());
    },
    async remove(id) {
      check();
      await Promise.resolve();
      callLog.rows.delete(id);
    },
    async recent({ windowMs, creditsSince, free }) {
      check();
      const charged = [...callLog.rows].map(([id, row]) => {
        const isFree = free.includes(row.outcome ?? '') || row.countedUntil < creditsSince.getTime();
        return { id, countedInMs: row.countedUntil - now(), credits: isFree ? 0 : row.credits };
      });
      const calls = charged.filter((call) => call.countedInMs > -windowMs);
      const credits = charged.reduce((sum, call) => sum + call.credits, 0);
      const blockedForMs = Math.max(0, blockedUntil - now());
      const { reported } = callLog;
      await callLog.afterRecent?.();
      return { calls, blockedForMs, credits, reported };
    },
    sumHours: () => Promise.resolve(true),
    async storeReportedLimits({ callsPerMinute, creditsPerMonth, others: { id, credits } }) {
      check();
      await Promise.resolve();
      callLog.reported = { callsPerMinute, creditsPerMonth };
      if (credits > 0) callLog.rows.set(id, { countedUntil: now() - 120_000, outcome: 'others', credits });
    },
    async block({ ms }) {
      check();
      await Promise.resolve();
      blockedUntil = Math.max(blockedUntil, now() + ms);
    },
  };
  return callLog;
}
