import { Model } from 'objection';
import type { JobState } from '../../src/domain/job.ts';

/** One client's request for a job; rows with the same `work_key` share one run. */
export class Job extends Model {
  static override readonly tableName = 'jobs';
  static override readonly jsonAttributes = ['data', 'error'];

  declare id: string;
  declare user_id: string;
  declare name: string;
  declare work_key: string;
  declare data: unknown;
  declare state: JobState;
  declare done: number;
  declare total: number;
  declare version: number;
  declare result_id: string | null;
  declare error: { code: string; message: string; status?: number } | null;
  declare route: string | null;
  declare idempotency_key: string | null;
  declare body_hash: string | null;
  declare resolved: string | null;
  declare callback_url: string | null;
  declare created_at: Date;
  declare started_at: Date | null;
  declare finished_at: Date | null;
}
