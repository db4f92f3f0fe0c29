/** What a WebSocket is subscribed to: kept, so that the next connection can be subscribed to the same. */

/** What to subscribe to: coins, jobs, or both. */
export interface Subscription {
  readonly coins?: readonly string[];
  readonly jobs?: readonly string[];
  /** Of the coins; `usd` when absent. */
  readonly currency?: string;
  /** Least seconds between two updates of the coins; 1 when absent. */
  readonly interval?: number;
}

/** The fields of a message `subscribe`. */
export type SubscribeFields = Subscription & { readonly last_event_ids?: Readonly<Record<string, string>> };

/** Messages stay well below the server's largest. */
const coinsPerMessage = 100;
const jobsPerMessage = 20;

/** See the head of the file. Bounded by the server, which refuses what is too much. */
export class LiveSubscriptions {
  /** By currency and interval. */
  readonly #coins = new Map<string, { currency: string; interval: number; ids: Set<string> }>();
  /** Last event that was seen, by job. */
  readonly #jobs = new Map<string, string | undefined>();

  get isEmpty(): boolean {
    return this.#jobs.size === 0 && [...this.#coins.values()].every(({ ids }) => ids.size === 0);
  }

  add({ coins = [], jobs = [], currency = 'usd', interval = 1 }: Subscription): void {
    // The server watches a coin once per currency, at the interval asked for last.
    this.remove({ coins, currency });
    const key = `${currency} ${interval}`;
    const group = this.#coins.get(key) ?? { currency, interval, ids: new Set() };
    if (coins.length > 0) this.#coins.set(key, group);
    for (const coin of coins) group.ids.add(coin);
    for (const job of jobs) if (!this.#jobs.has(job)) this.#jobs.set(job, undefined);
  }

  remove({ coins = [], jobs = [], currency = 'usd' }: Omit<Subscription, 'interval'>): void {
    for (const [key, group] of this.#coins) {
      if (group.currency === currency) for (const coin of coins) group.ids.delete(coin);
      if (group.ids.size === 0) this.#coins.delete(key);
    }
    for (const job of jobs) this.#jobs.delete(job);
  }

  /** An event of a job was seen. */
  saw(job: string, eventId: string): void {
    if (this.#jobs.has(job)) this.#jobs.set(job, eventId);
  }

  /** Messages that subscribe a new connection to all of it, jobs from the last event on. */
  messages(): SubscribeFields[] {
    const ofCoins = [...this.#coins.values()].flatMap(({ currency, interval, ids }) =>
      pieces([...ids], coinsPerMessage).map((coins) => ({ coins, currency, interval })),
    );
    const ofJobs = pieces([...this.#jobs], jobsPerMessage).map((entries) => {
      const seen = entries.filter((entry): entry is [string, string] => entry[1] !== undefined);
      return { jobs: entries.map(([job]) => job), last_event_ids: Object.fromEntries(seen) };
    });
    return [...ofCoins, ...ofJobs];
  }
}

function pieces<T>(items: readonly T[], size: number): T[][] {
  return Array.from({ length: Math.ceil(items.length / size) }, (_, piece) =>
    items.slice(piece * size, (piece + 1) * size),
  );
}
