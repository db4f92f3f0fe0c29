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
  /** Prefix of the pages of rankings. */
  readonly rankings: string;
  /** `<receivedAt>|<asset id>,<asset id>…`: a page (1-based, 250 assets) in the order of market capitalisation. */
  popular(currency: string, page?: number): string;
  /** `<receivedAt>|<json>` of a market row, under `<rows><currency>:<asset id>`. */
  readonly rows: string;
  /** Prefix of documents, of what is known and wanted of them, and of their index. */
  readonly documents: string;
  /** Pub/sub channel of documents that have come. */
  readonly passthroughChannel: string;
  /** Sorted set of wanted assets; the score is urgency and tag (src/demand). */
  demand(currency: string): string;
  /** Sorted set of leased assets; the score is when the lease expires. */
  leases(currency: string): string;
  /** Hash: asset id to `<owner>|<score in demand>`. */
  leaseOwners(currency: string): string;
  /** Hash: asset id to who asked for it first, for as long as it is wanted or leased. */
  requesters(currency: string): string;
  /** Sorted set of currencies in which something is wanted; the score is that of the most urgent asset. */
  readonly demandHeads: string;
  /** Hash: tenant to the number of its assets that are wanted or leased. */
  readonly demandCounts: string;
  /** String: the last call was one beside demand. */
  readonly demandNonBatchSlot: string;
  /** Prefix of the clocks of tenants, a sorted set for each urgency. */
  readonly fairClocks: string;
  /** What is read (src/features/quotes/demand/interest.ts). */
  readonly interest: {
    /** Sorted set of currencies; the score is when something was read last (ms since the epoch). */
    readonly currencies: string;
    /** Sorted set of assets and pages; the score is the logarithm of the heat. */
    heat(currency: string): string;
    /** Sorted set of assets and pages; the score is when it was read last (ms since the epoch). */
    lastRead(currency: string): string;
  };
  /** Hash: what the fleet agrees on about time (src/platform/redis/fleet-clock.ts). */
  readonly clock: string;
  /** Pub/sub channel of ticks. */
  readonly ticks: string;
  /** Pub/sub channel of orders to workers. */
  readonly control: string;
  /** Pub/sub channel of revocations. */
  readonly revocations: string;
  /** Pub/sub channel that says that the list of assets has changed. */
  readonly assets: string;
  /** Pub/sub channel of portfolios whose derived tables are current again. */
  readonly books: string;
  /** Pub/sub channel of alerts that have changed or fired. */
  readonly alerts: string;
  /** Prefix of the counters of limits. */
  readonly limits: string;
  /** Stream of job events. */
  readonly jobEvents: string;
  /** Name of the history of job events. */
  readonly jobEventsEpoch: string;
  /** Stands while a provider is not asked again for the limits of a key. */
  tierAttempt(budgetKey: string): string;
  /** Hash: number of upstream calls of the whole fleet by outcome. */
  readonly upstreamCalls: string;
  /** Hash: number of failed upstream calls of the whole fleet by cause. */
  readonly upstreamFailures: string;
  /** JSON: the last failed call of a provider. */
  lastFailure(provider: string): string;
  /** Hash: number of attempts to deliver webhooks by what they came to. */
  readonly webhookAttempts: string;
  /** Hash: how the circuit breaker of a provider stands. */
  breaker(provider: string): string;
  /** Prefix of values that wait for confirmation: `<price>|<observed at>|<received at>|<source>`. */
  readonly suspects: string;
  /** Hash: number of values by what the deviation guard decided. */
  readonly guarded: string;
}

/** Names all keys under `prefix`. */
export function createRedisKeys(prefix: string): RedisKeys {
  return {
    prefix,
    queues: `${prefix}:bull`,
    quotes: `${prefix}:quote:`,
    failures: `${prefix}:failure:`,
    rankings: `${prefix}:popular:`,
    popular: (currency, page = 1) => `${prefix}:popular:${currency}${page === 1 ? '' : `:${page}`}`,
    rows: `${prefix}:row:`,
    documents: `${prefix}:document:`,
    passthroughChannel: `${prefix}:documents`,
    demand: (currency) => `${prefix}:demand:${currency}`,
    leases: (currency) => `${prefix}:leases:${currency}`,
    leaseOwners: (currency) => `${prefix}:lease-owners:${currency}`,
    requesters: (currency) => `${prefix}:requesters:${currency}`,
    demandHeads: `${prefix}:demand-heads`,
    demandCounts: `${prefix}:demand-counts`,
    demandNonBatchSlot: `${prefix}:demand-aside`,
    fairClocks: `${prefix}:fair-clocks`,
    interest: {
      currencies: `${prefix}:interest`,
      heat: (currency) => `${prefix}:interest:${currency}`,
      lastRead: (currency) => `${prefix}:interest-at:${currency}`,
    },
    clock: `${prefix}:clock`,
    ticks: `${prefix}:ticks`,
    control: `${prefix}:control`,
    revocations: `${prefix}:revocations`,
    assets: `${prefix}:assets`,
    books: `${prefix}:books`,
    alerts: `${prefix}:alerts`,
    limits: `${prefix}:limit:`,
    jobEvents: `${prefix}:job-events`,
    jobEventsEpoch: `${prefix}:job-events-epoch`,
    tierAttempt: (budgetKey) => `${prefix}:tier-asked:${budgetKey}`,
    upstreamCalls: `${prefix}:upstream-calls`,
    upstreamFailures: `${prefix}:upstream-failures`,
    lastFailure: (provider) => `${prefix}:upstream-failure:${provider}`,
    webhookAttempts: `${prefix}:webhook-attempts`,
    breaker: (provider) => `${prefix}:breaker:${provider}`,
    suspects: `${prefix}:suspect:`,
    guarded: `${prefix}:guarded`,
  };
}
