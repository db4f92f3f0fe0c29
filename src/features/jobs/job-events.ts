import type { Redis } from 'ioredis';

/**
 * Job events go to one Redis stream of the deployment. Redis gives each entry an id; together with the position inside the
 * entry it is the id that SSE clients resume from. An entry is about a *subject*: a run that several jobs share
 * (`work:<key>`) or a single job (`job:<id>`).
 */
export interface JobEvent {
  readonly type: 'job.progress' | 'job.coin' | 'job.completed' | 'job.failed' | 'job.cancelled';
  readonly data: object;
  /** With the last event of a run: ids of the jobs that it ended. Another run of the same work may end others. */
  readonly jobs?: readonly string[];
}

/** One entry of the stream: several events that happened at once. */
export interface JobEventEntry {
  /** Redis stream id, `<milliseconds>-<sequence>`. */
  readonly id: string;
  readonly subject: string;
  readonly events: readonly JobEvent[];
}

export const workSubject = (workKey: string): string => `work:${workKey}`;
export const jobSubject = (jobId: string): string => `job:${jobId}`;

/** True for the events after which nothing follows. */
export function isLastEvent(type: JobEvent['type']): boolean {
  return type === 'job.completed' || type === 'job.failed' || type === 'job.cancelled';
}

/** Entries kept for replay: about ten thousand jobs. Trimmed in whole nodes, hence approximate. */
const keptEntries = 20_000;

/** Appends events to the stream. */
export interface JobEventLog {
  append(subject: string, events: readonly JobEvent[]): Promise<void>;
}

/** Builds a {@link JobEventLog}. */
export function createJobEventLog(redis: Redis, streamKey: string): JobEventLog {
  return {
    async append(subject, events) {
      await redis.xadd(streamKey, 'MAXLEN', '~', keptEntries, '*', 's', subject, 'e', JSON.stringify(events));
    },
  };
}

/** Reads one entry as Redis returns it. */
export function parseJobEventEntry([id, fields]: [string, string[]]): JobEventEntry {
  return { id, subject: fields[1] ?? '', events: JSON.parse(fields[3] ?? '[]') as JobEvent[] };
}

// Compares ids of a Redis stream. As in a range, an id without a sequence stands for the whole millisecond, and `+` for the
// end.

/** Whether `a` comes before `b`, by time, then by sequence; a missing sequence is the first. */
export function isBefore(a: string, b: string): boolean {
  const [aTime, aSequence] = partsOf(a, 0);
  const [bTime, bSequence] = partsOf(b, 0);
  return aTime === bTime ? aSequence < bSequence : aTime < bTime;
}

/** Whether `id` comes after the last id of a range up to `end`. */
export function isAfterEnd(id: string, end: string): boolean {
  if (end === '+') return false;
  const [time, sequence] = partsOf(id, 0);
  const [endTime, endSequence] = partsOf(end, Infinity);
  return time === endTime ? sequence > endSequence : time > endTime;
}

function partsOf(id: string, missing: number): [time: number, sequence: number] {
  if (id === '+') return [Infinity, Infinity];
  const [time = '0', sequence] = id.split('-');
  return [Number(time), sequence === undefined ? missing : Number(sequence)];
}
