/**
 * Clients that read prices as apps do, by CoinGecko's `/simple/price`: one half looks at a list of its own again and again, the
 * other half at one asset or another. Each waits for its answer, thinks, and reads again. What they get is summed up: prices
 * asked for and given, and the age of each by the source's own time, by how popular the asset is.
 */
import { Agent, type Dispatcher } from 'undici';
import { sleep } from '../../src/platform/concurrency/sleep.ts';
import { createZipf } from './zipf.ts';

/** Where clients read. */
export interface PriceDoor {
  /** Root of the API, `/api/v3` included. */
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
}

export interface ReadersOptions {
  /** Clients take turns at the doors. */
  readonly doors: readonly PriceDoor[];
  readonly clients: number;
  /** Ids of the assets, the most popular first. */
  readonly assets: readonly string[];
  readonly seconds: number;
  /** Mean pause (ms) of a client between an answer and its next request. */
  readonly thinkMs: number;
}

/** Seconds; older counts as this old. */
const oldest = 3_600;

/** Ages of prices in whole seconds. */
export class Ages {
  readonly #counts = new Float64Array(oldest + 1);
  count = 0;

  add(seconds: number): void {
    const second = Math.min(oldest, Math.max(0, Math.floor(seconds)));
    this.#counts[second] = (this.#counts[second] ?? 0) + 1;
    this.count++;
  }

  /** The age (s) that a share (0 to 1) of the prices does not exceed; NaN without prices. */
  percentile(share: number): number {
    let left = Math.ceil(this.count * share);
    for (const [second, count] of this.#counts.entries()) {
      left -= count;
      if (left <= 0) return second;
    }
    return NaN;
  }

  /** Prices younger than `seconds`. */
  younger(seconds: number): number {
    return this.#counts.slice(0, seconds).reduce((sum, count) => sum + count, 0);
  }
}

export interface ReadOutcome {
  readonly requests: number;
  /** Prices asked for. */
  readonly requested: number;
  /** Prices given. */
  readonly answered: number;
  /** Distinct pairs of asset and currency that were asked for. */
  readonly distinct: number;
  /** Of the most popular tenth of the assets, the second, … */
  readonly deciles: readonly Ages[];
  readonly all: Ages;
  /** Prices not given, by what came instead. */
  readonly reasons: ReadonlyMap<string, number>;
  readonly waitsMs: readonly number[];
}

const exponent = 1;
const deciles = 10;
const listLength = 10;
const eurShare = 0.25;
const patienceMs = 40_000;
/** Requests whose wait is remembered. */
const sampledWaits = 200_000;

/** Reads until the time is over. */
export async function readPrices(options: ReadersOptions): Promise<ReadOutcome> {
  const agent = new Agent({ connections: options.clients, pipelining: 1, headersTimeout: patienceMs });
  const readers = new Readers(options, agent);
  try {
    await Promise.all(Array.from({ length: options.clients }, (_, index) => readers.run(index)));
  } finally {
    await agent.destroy();
  }
  return readers.outcome();
}

interface Read {
  readonly ranks: readonly number[];
  readonly currency: string;
}

class Readers {
  readonly #options: ReadersOptions;
  readonly #agent: Dispatcher;
  readonly #draw: () => number;
  readonly #endsAt: number;
  readonly #deciles = Array.from({ length: deciles }, () => new Ages());
  readonly #all = new Ages();
  readonly #reasons = new Map<string, number>();
  readonly #waitsMs: number[] = [];
  readonly #seen = new Set<string>();
  #requests = 0;
  #requested = 0;

  constructor(options: ReadersOptions, agent: Dispatcher) {
    this.#options = options;
    this.#agent = agent;
    this.#draw = createZipf(options.assets.length, exponent);
    this.#endsAt = performance.now() + options.seconds * 1_000;
  }

  async run(index: number): Promise<void> {
    const { doors, thinkMs } = this.#options;
    const door = doors[index % doors.length];
    if (door === undefined) return;
    const list = index % 2 === 0 ? this.#newRead(listLength) : undefined;
    await sleep(Math.random() * thinkMs);
    while (performance.now() < this.#endsAt) {
      await this.#read(door, list ?? this.#newRead(1));
      await sleep(thinkMs * (0.5 + Math.random()));
    }
  }

  outcome(): ReadOutcome {
    return {
      requests: this.#requests,
      requested: this.#requested,
      answered: this.#all.count,
      distinct: this.#seen.size,
      deciles: this.#deciles,
      all: this.#all,
      reasons: this.#reasons,
      waitsMs: this.#waitsMs,
    };
  }

  #newRead(length: number): Read {
    const ranks = new Set<number>();
    while (ranks.size < length) ranks.add(this.#draw());
    return { ranks: [...ranks], currency: Math.random() < eurShare ? 'eur' : 'usd' };
  }

  async #read(door: PriceDoor, read: Read): Promise<void> {
    const ids = read.ranks.map((rank) => this.#options.assets[rank] ?? '');
    const query = `ids=${ids.join(',')}&vs_currencies=${read.currency}&include_last_updated_at=true`;
    const begin = performance.now();
    this.#requests++;
    this.#requested += ids.length;
    for (const id of ids) this.#seen.add(`${read.currency}:${id}`);
    try {
      const { statusCode, body } = await this.#agent.request({
        origin: new URL(door.url).origin,
        path: `${new URL(door.url).pathname}/simple/price?${query}`,
        method: 'GET',
        headers: { ...door.headers },
      });
      const text = await body.text();
      if (statusCode === 200) this.#take(read, ids, JSON.parse(text) as Record<string, Row>);
      else this.#miss(String(statusCode), ids.length);
    } catch (error) {
      this.#miss(error instanceof Error ? error.message : String(error), ids.length);
    }
    if (this.#waitsMs.length < sampledWaits) this.#waitsMs.push(performance.now() - begin);
  }

  #take({ ranks, currency }: Read, ids: readonly string[], rows: Readonly<Record<string, Row>>): void {
    const now = Date.now() / 1_000;
    for (const [index, id] of ids.entries()) {
      const row = rows[id];
      if (row === undefined || typeof row[currency] !== 'number') {
        this.#miss('left out', 1);
        continue;
      }
      const age = now - (row['last_updated_at'] ?? NaN);
      const decile = Math.floor(((ranks[index] ?? 0) * deciles) / this.#options.assets.length);
      this.#deciles[decile]?.add(age);
      this.#all.add(age);
    }
  }

  #miss(reason: string, prices: number): void {
    this.#reasons.set(reason, (this.#reasons.get(reason) ?? 0) + prices);
  }
}

type Row = Readonly<Record<string, number | null>> & { readonly last_updated_at?: number };
