import type { JobsOptions } from 'bullmq';
import type { z } from 'zod';

/** Queues of the fleet. A worker process serves those that `WORKER_QUEUES` names. */
export const queueNames = [
  'requests',
  'refresh',
  'upkeep',
  'mail',
  'books',
  'portfolios',
  'webhooks',
] as const;
export type QueueName = (typeof queueNames)[number];

declare const resultType: unique symbol;

/** A job as a value: its name, where it queues, what its data must look like and how it is retried. */
export interface JobContract<N extends string, Q extends QueueName, D, R> {
  /** `<entity>.<verb>` */
  readonly name: N;
  readonly queue: Q;
  readonly schema: z.ZodType<D>;
  readonly options: JobsOptions;
  /** A periodic job comes back by itself this often (ms), with empty data. */
  readonly every?: number;
  /** Carries the result's type; there is no value. */
  readonly [resultType]?: R;
}

export type DataOf<C> = C extends JobContract<string, QueueName, infer D, unknown> ? D : never;
export type ResultOf<C> = C extends JobContract<string, QueueName, unknown, infer R> ? R : never;

/** Declares a job. The result type is given as a type parameter of the returned function: `defineJob<R>()({...})`. */
export function defineJob<R>() {
  return <const N extends string, const Q extends QueueName, D>(contract: {
    readonly name: N;
    readonly queue: Q;
    readonly schema: z.ZodType<D>;
    readonly options: JobsOptions;
    readonly every?: number;
  }): JobContract<N, Q, D, R> => contract;
}

/** What BullMQ keeps of ended jobs: states and results live in Postgres, so only a short trace for operators. */
export const keepBriefly = {
  removeOnComplete: { age: 600, count: 1000 },
  removeOnFail: { age: 3600, count: 5000 },
} as const;
