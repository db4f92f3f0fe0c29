/**
 * The ledger of upstream calls. Every time is the database's own (`clock_timestamp()`, which unlike `now()` is not the
 * begin of the transaction), and leaves it only as a distance from its present.
 */
import type { Knex } from 'knex';

interface RecentCalls {
  readonly calls: readonly { readonly id: string; readonly countedInMs: number }[];
  readonly blockedForMs: number;
}

/** Reads and writes `upstream_calls` and `budget_blocks`; fits the port of the same name in `src/providers`. */
export interface UpstreamLedger {
  record(grant: { id: string; budgetKey: string; lastsMs: number; credits?: number }): Promise<void>;
  settle(end: { id: string; outcome: string; answered: boolean }): Promise<void>;
  remove(id: string): Promise<void>;
  recent(query: { budgetKey: string; windowMs: number }): Promise<RecentCalls>;
  block(block: { budgetKey: string; ms: number }): Promise<void>;
  /** Credits that calls granted since `since` have cost or may cost; refused calls cost none. */
  creditsSince(budgetKey: string, since: Date): Promise<number>;
  /** Deletes rows of calls granted before `olderThan`. Keep at least the present month. @returns how many. */
  purge(olderThan: Date): Promise<number>;
}

/** No call lasts longer than this (the budget refuses a longer deadline), so older rows need not be looked at. */
const longestCallMs = 60_000;

const fromNow = "clock_timestamp() + ? * interval '1 millisecond'";
const before = "clock_timestamp() - ? * interval '1 millisecond'";

/** Outcomes for which providers charge nothing. */
const free = ['rate_limited', 'rejected', 'url_too_long'];

/** Builds the ledger on a connection pool. Every method rejects when the database does. */
export function createUpstreamLedger(knex: Knex): UpstreamLedger {
  return {
    async record({ id, budgetKey, lastsMs, credits = 1 }) {
      await knex('upstream_calls').insert({
        id,
        budget_key: budgetKey,
        counted_until: knex.raw(fromNow, [lastsMs]),
        credits,
      });
    },
    async settle({ id, outcome, answered }) {
      const now = knex.raw('clock_timestamp()');
      const counted = answered
        ? { counted_until: knex.raw('least(counted_until, clock_timestamp())') }
        : undefined;
      await knex('upstream_calls')
        .where({ id })
        .update({ settled_at: now, outcome, ...counted });
    },
    async remove(id) {
      await knex('upstream_calls').where({ id }).delete();
    },
    recent: ({ budgetKey, windowMs }) => recentCalls(knex, budgetKey, windowMs),
    async block({ budgetKey, ms }) {
      await knex('budget_blocks')
        .insert({ budget_key: budgetKey, blocked_until: knex.raw(fromNow, [ms]) })
        .onConflict('budget_key')
        .merge({ blocked_until: knex.raw('greatest(budget_blocks.blocked_until, excluded.blocked_until)') });
    },
    async creditsSince(budgetKey, since) {
      const row: { credits?: unknown } | undefined = await knex('upstream_calls')
        .where({ budget_key: budgetKey })
        .where('granted_at', '>=', since)
        .where((unpaid) => void unpaid.whereNull('outcome').orWhereNotIn('outcome', free))
        .sum({ credits: 'credits' })
        .first();
      return Number(row?.credits ?? 0);
    },
    purge: (olderThan) => knex('upstream_calls').where('granted_at', '<', olderThan).delete(),
  };
}

async function recentCalls(knex: Knex, budgetKey: string, windowMs: number): Promise<RecentCalls> {
  const rows: { id: string; counted_in_ms: number }[] = await knex('upstream_calls')
    .where({ budget_key: budgetKey })
    .whereRaw(`granted_at > ${before}`, [windowMs + longestCallMs])
    .whereRaw(`counted_until > ${before}`, [windowMs])
    .select(
      'id',
      knex.raw(
        '(extract(epoch from counted_until - clock_timestamp()) * 1000)::double precision as counted_in_ms',
      ),
    );
  const blocks: { ms: number }[] = await knex('budget_blocks')
    .where({ budget_key: budgetKey })
    .select(
      knex.raw('(extract(epoch from blocked_until - clock_timestamp()) * 1000)::double precision as ms'),
    );
  return {
    calls: rows.map((row) => ({ id: row.id, countedInMs: row.counted_in_ms })),
    blockedForMs: Math.max(0, blocks[0]?.ms ?? 0),
  };
}
