/**
 * All open streams of a process, of every kind and transport: limits per user and address, heartbeats, slow clients, revoked
 * credentials, and their end.
 */
import type { Principal } from '../../domain/principal.ts';
import type { Clock } from '../concurrency/clock.ts';

/** Why a stream ended, for metrics and clients. */
export type EndReason =
  | 'client' // the client went away
  | 'complete' // what was asked for has been sent
  | 'drain' // this process ends
  | 'revoked' // the credential was revoked
  | 'expired' // the stream is old: come back with a new credential
  | 'slow' // the client does not keep up
  | 'idle' // the client asks for nothing
  | 'protocol' // the client broke the rules of the protocol
  | 'fault'; // ours

/** What is known of a stream's client. */
export interface StreamClient {
  readonly viewer: Principal;
  /** Whom limits by address count. */
  readonly address: string;
}

/** An open stream. */
export interface OpenStream {
  readonly client: StreamClient;
  /**
   * Gives a sign of life where one is due, looks whether the client keeps up, and says so. Called every {@link pollIntervalMs},
   * and every second while it does not.
   */
  poll(now: number): boolean;
  /** Ends it; the stream then calls the registry's `closed`. */
  end(reason: EndReason): void;
}

/** Which limit leaves no room for another stream. */
export type StreamLimit = 'process' | 'user' | 'address';

interface RegistryDeps {
  readonly clock: Clock;
  readonly limits: { readonly perUser: number; readonly perAddress: number; readonly inAll: number };
  readonly isRevoked: (viewer: Principal) => boolean;
}

/** Interval (ms) between checks: checking every stream every second would cost as much as a fifth of its prices. */
export const pollIntervalMs = 5_000;
const slotMs = 1_000;
const slots = pollIntervalMs / slotMs;

export class StreamRegistry {
  readonly #deps: RegistryDeps;
  /** By the second in which they are looked at, so that their signs of life are never a burst. */
  readonly #slots: readonly Set<OpenStream>[] = Array.from({ length: slots }, () => new Set<OpenStream>());
  readonly #slotOf = new Map<OpenStream, Set<OpenStream>>();
  /** Streams whose client does not keep up. */
  readonly #behind = new Set<OpenStream>();
  readonly #byUser = new Map<string, number>();
  readonly #byAddress = new Map<string, number>();
  readonly #ended = new Map<EndReason, number>();
  readonly #polling: NodeJS.Timeout;
  #tick = 0;
  #isDraining = false;

  constructor(deps: RegistryDeps) {
    this.#deps = deps;
    this.#polling = setInterval(() => this.#poll(), slotMs);
    this.#polling.unref();
  }

  /** Open streams. */
  get size(): number {
    return this.#slotOf.size;
  }

  /** Streams that have ended, by reason. */
  ended(): Readonly<Record<string, number>> {
    return Object.fromEntries(this.#ended);
  }

  get isDraining(): boolean {
    return this.#isDraining;
  }

  /** The limit that leaves no room; undefined when there is room. */
  limitReached({ viewer, address }: StreamClient): StreamLimit | undefined {
    const { limits } = this.#deps;
    if (this.size >= limits.inAll) return 'process';
    if ((this.#byUser.get(viewer.userId) ?? 0) >= limits.perUser) return 'user';
    return (this.#byAddress.get(address) ?? 0) >= limits.perAddress ? 'address' : undefined;
  }

  /** Takes a stream in. One whose credential was revoked meanwhile is ended at once. */
  add(stream: OpenStream): void {
    const slot = this.#slots[this.#slotOf.size % slots] ?? new Set();
    slot.add(stream);
    this.#slotOf.set(stream, slot);
    count(this.#byUser, stream.client.viewer.userId, 1);
    count(this.#byAddress, stream.client.address, 1);
    if (this.#deps.isRevoked(stream.client.viewer)) stream.end('revoked');
    else if (this.#isDraining) stream.end('drain');
  }

  /** From now on the stream is looked at every second, until its client keeps up. */
  attend(stream: OpenStream): void {
    if (this.#slotOf.has(stream)) this.#behind.add(stream);
  }

  /** A stream has ended. */
  closed(stream: OpenStream, reason: EndReason): void {
    const slot = this.#slotOf.get(stream);
    if (slot === undefined) return;
    slot.delete(stream);
    this.#slotOf.delete(stream);
    this.#behind.delete(stream);
    count(this.#byUser, stream.client.viewer.userId, -1);
    count(this.#byAddress, stream.client.address, -1);
    this.#ended.set(reason, (this.#ended.get(reason) ?? 0) + 1);
  }

  /** Ends the streams whose credential was revoked. */
  endRevoked(): void {
    for (const stream of this.#slotOf.keys())
      if (this.#deps.isRevoked(stream.client.viewer)) stream.end('revoked');
  }

  /** Ends every stream, and from now on those that are opened. */
  drain(): void {
    this.#isDraining = true;
    clearInterval(this.#polling);
    for (const stream of [...this.#slotOf.keys()]) stream.end('drain');
  }

  #poll(): void {
    const now = this.#deps.clock.now();
    const behind = [...this.#behind];
    this.#tick = (this.#tick + 1) % slots;
    for (const stream of this.#slots[this.#tick] ?? [])
      if (!this.#behind.has(stream) && !stream.poll(now)) this.attend(stream);
    for (const stream of behind) if (stream.poll(now)) this.#behind.delete(stream);
  }
}

function count(counts: Map<string, number>, key: string, by: number): void {
  const total = (counts.get(key) ?? 0) + by;
  if (total <= 0) counts.delete(key);
  else counts.set(key, total);
}
