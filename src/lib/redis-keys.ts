/**
 * Every key and channel that Pricepool uses in Redis, in one place, so that an operator can tell what a key is for and two
 * deployments with different prefixes never meet.
 */
export interface RedisKeys {
  readonly prefix: string;
  /** Prefix of the BullMQ queues. */
  readonly queues: string;
  /** `<receivedAt>|<json head>` of a quote, under `<quotes><currency>:<asset id>`. */
  readonly quotes: string;
  /** `<state>|<until>|<reason>`: why an asset has no quote for the moment. */
  readonly failures: string;
  /** `<receivedAt>|<asset id>,<asset id>…` in the order of market capitalisation. */
  popular(currency: string): string;
  /** Sorted set of wanted assets; the score is urgency and deadline. */
  demand(currency: string): string;
  /** Sorted set of leased assets; the score is when the lease expires. */
  leases(currency: string): string;
  /** Hash: asset id to `<owner>|<score in demand>`. */
  leaseOwners(currency: string): string;
  /** Hash: asset id to who asked for it first, for as long as it is wanted or leased. */
  requesters(currency: string): string;
  /** Pub/sub channel of ticks. */
  readonly ticks: string;
  /** Pub/sub channel of orders to workers. */
  readonly control: string;
  /** Pub/sub channel of revocations. */
  readonly revocations: string;
  /** Prefix of the counters of limits. */
  readonly limits: string;
  /** Stream of job events. */
  readonly jobEvents: string;
  /** Name of the history of job events. */
  readonly jobEventsEpoch: string;
  /** Hash: number of upstream calls of the whole fleet by outcome. */
  readonly upstreamCalls: string;
}

/** Names all keys under `prefix`. */
export function createRedisKeys(prefix: string): RedisKeys {
  return {
    prefix,
    queues: `${prefix}:bull`,
    quotes: `${prefix}:quote:`,
    failures: `${prefix}:failure:`,
    popular: (currency) => `${prefix}:popular:${currency}`,
    demand: (currency) => `${prefix}:demand:${currency}`,
    leases: (currency) => `${prefix}:leases:${currency}`,
    leaseOwners: (currency) => `${prefix}:lease-owners:${currency}`,
    requesters: (currency) => `${prefix}:requesters:${currency}`,
    ticks: `${prefix}:ticks`,
    control: `${prefix}:control`,
    revocations: `${prefix}:revocations`,
    limits: `${prefix}:limit:`,
    jobEvents: `${prefix}:job-events`,
    jobEventsEpoch: `${prefix}:job-events-epoch`,
    upstreamCalls: `${prefix}:upstream-calls`,
  };
}
