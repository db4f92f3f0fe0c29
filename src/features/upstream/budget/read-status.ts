import type { BudgetMonth, BudgetStatus } from './budget.ts';
import { unreachableWaitMs, type Core } from './budget-core.ts';

/** Reads the state of the budget; undefined when that in Redis was lost. */
export async function readStatus(core: Core): Promise<BudgetStatus | undefined> {
  const reply = await core.scripts.status(core.now(), core.terms(), core.windowMs);
  const [ready, used = 0, nextGrantInMs = 0, spacingMs = 0, blockedForMs = 0, limit = 0, fullLimit = 0] =
    reply.map(Number);
  if (ready !== 1) return undefined;
  const month = monthOf(reply.slice(7).map(Number));
  const left = Math.max(0, limit - used);
  return {
    ready: true,
    limit,
    fullLimit,
    used,
    available: month === null ? left : Math.min(left, Math.floor(month.atHand.interactive)),
    nextGrantInMs,
    spacingMs,
    blockedForMs,
    month,
  };
}

/** Numbers in the order of the script's reply. */
function monthOf(reply: readonly number[]): BudgetMonth | null {
  const at = (index: number): number => reply[index] ?? 0;
  const [credits, spent, endsAt, spentPerHour, now] = [at(0), at(1), at(3), at(4), at(5)];
  if (credits === 0) return null;
  const left = Math.max(0, credits - spent);
  const emptyAt = spentPerHour > 0 ? now + (left / spentPerHour) * 3_600_000 : Infinity;
  return {
    credits,
    spent,
    left,
    reserve: at(6),
    beginsAt: at(2),
    endsAt,
    spentPerHour,
    affordablePerHour: at(7),
    atHand: { interactive: at(8), stream: at(9), warming: at(10), backfill: at(11) },
    lastsUntil: emptyAt < endsAt ? emptyAt : null,
  };
}

/** What is said while Redis or the ledger cannot be asked. */
export function statusUnknown(core: Core): BudgetStatus {
  const { limit } = core.options;
  return {
    ready: false,
    limit,
    fullLimit: limit,
    used: limit,
    available: 0,
    nextGrantInMs: unreachableWaitMs,
    spacingMs: Math.ceil(core.windowMs / limit),
    blockedForMs: 0,
    month: null,
  };
}
