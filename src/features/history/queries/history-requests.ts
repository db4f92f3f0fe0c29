import type { Knex } from 'knex';
import type { Granularity } from '../../../domain/history.ts';
import { orUnavailable } from '../../../../db/outage.ts';

/** Asset, currency and granularity. */
export interface SeriesKey {
  readonly assetId: string;
  readonly currency: string;
  readonly granularity: Granularity;
}

/**
 * The outcome of a request for history: `answered` (the provider does not have what it did not send), `failed` (worth
 * another try later), `refused` (plan or parameters), `unknown` (it does not know the asset).
 */
export type BackfillOutcome = 'answered' | 'failed' | 'refused' | 'unknown';

/** A requested span; milliseconds since the epoch, both ends included. */
export interface BackfillRequest {
  readonly from: number;
  readonly to: number;
  readonly outcome: BackfillOutcome;
}

export type BackfillRequests = ReturnType<typeof createBackfillRequests>;

/** Rows of one answer; each stands for a call. */
const maxBackfillRequests = 1_000;
const maxRows = 20_000;

/**
 * Requests to providers for history, in Postgres. Every method throws {@link UnavailableError} when it does not answer.
 */
export function createBackfillRequests(knex: Knex) {
  return {
    /** Remembers an outcome for `validMs`; a later one of the same span replaces it. */
    async note({
      assetId,
      currency,
      granularity,
      from,
      to,
      outcome,
      points,
      validMs,
    }: SeriesKey & BackfillRequest & { readonly points: number; readonly validMs: number }): Promise<void> {
      await orUnavailable(
        knex.raw(
          `insert into history_asks (asset_id, currency, resolution, from_at, to_at, outcome, points, valid_until)
            values (?, ?, ?, to_timestamp(? / 1000.0), to_timestamp(? / 1000.0), ?, ?,
              clock_timestamp() + ? * interval '1 millisecond')
            on conflict (asset_id, currency, resolution, from_at, to_at) do update set
              outcome = excluded.outcome, points = excluded.points, asked_at = excluded.asked_at,
              valid_until = excluded.valid_until`,
          [assetId, currency, granularity, from, to, outcome, points, validMs],
        ),
      );
    },
    /** Remembered outcomes that overlap a span. */
    async within(
      { assetId, currency, granularity }: SeriesKey,
      { from, to }: { readonly from: number; readonly to: number },
    ): Promise<readonly BackfillRequest[]> {
      const { rows } = await orUnavailable(
        knex.raw<{ rows: BackfillRequest[] }>(
          `select (extract(epoch from from_at) * 1000)::float8 as from, (extract(epoch from to_at) * 1000)::float8 as to,
              outcome
            from history_asks
            where asset_id = ? and currency = ? and resolution = ? and valid_until > clock_timestamp()
              and to_at >= to_timestamp(? / 1000.0) and from_at <= to_timestamp(? / 1000.0)
            order by from_at, to_at limit ?`,
          [assetId, currency, granularity, from, to, maxBackfillRequests],
        ),
      );
      return rows;
    },
    /** Deletes outcomes past their time. Returns how many, 20,000 at most. */
    async purge(): Promise<number> {
      const { rowCount } = await orUnavailable(
        knex.raw<{ rowCount: number }>(
          `delete from history_asks where ctid = any(array(
            select ctid from history_asks where valid_until < clock_timestamp() limit ?))`,
          [maxRows],
        ),
      );
      return rowCount;
    },
  };
}
