/** The life of a stream, on any transport: heartbeats, new tickets, its longest age, and when to reconnect. */
import { Frame } from './frame.ts';
import { pollIntervalMs, type EndReason } from './stream-registry.ts';

/** Proxies cut a silent connection after some 60 s, and clients wonder sooner. */
const longestIdleMs = 15_000;

/** The time in which nothing was written to a client, counted in polls: a clock for each write would cost more. */
export class IdleTimer {
  #polls = 0;

  /** Something was written. */
  end(): void {
    this.#polls = 0;
  }

  /** To be asked at every look; true when it is time for a sign of life. */
  isLong(): boolean {
    this.#polls += 1;
    return this.#polls * pollIntervalMs >= longestIdleMs;
  }
}

/** Creates a ticket for the same principal. */
export type RenewTicket = () => { readonly ticket: string; readonly expiresInSeconds: number };

/** Sends a client that came with a ticket the next one, before the last has expired. */
export class TicketRenewal {
  readonly #renew: RenewTicket;
  #dueAt: number;

  /** `now` in milliseconds since the epoch. */
  constructor(renew: RenewTicket, now: number) {
    this.#renew = renew;
    // The one it came with is of unknown age; its successor is sent after half of a life.
    this.#dueAt = halfLife(renew().expiresInSeconds, now);
  }

  /** The event `ticket`, if it is time for it. */
  take(now: number): Frame | undefined {
    if (now < this.#dueAt) return undefined;
    const { ticket, expiresInSeconds } = this.#renew();
    this.#dueAt = halfLife(expiresInSeconds, now);
    return new Frame({ type: 'ticket', data: JSON.stringify({ ticket, expires_in: expiresInSeconds }) });
  }
}

function halfLife(expiresInSeconds: number, now: number): number {
  return now + (expiresInSeconds * 1000) / 2;
}

/** Whether a client should come back after an end, and when (ms). Those that are absent should not, or not by themselves. */
const returns: Readonly<
  Partial<Record<EndReason | 'limit', { readonly least: number; readonly spread: number }>>
> = {
  // Spread, so that the other processes are not hit at once.
  drain: { least: 200, spread: 2_000 },
  expired: { least: 200, spread: 2_000 },
  fault: { least: 1_000, spread: 4_000 },
  limit: { least: 5_000, spread: 10_000 },
};

/** Milliseconds after which a client should reconnect, randomised; undefined when it should not. */
export function reconnectDelayMs(reason: EndReason | 'limit'): number | undefined {
  const plan = returns[reason];
  return plan === undefined ? undefined : plan.least + Math.floor(Math.random() * plan.spread);
}

/** Longest age (ms) of a stream, so that no client stays connected with an old credential forever. */
export const longestStreamMs = 12 * 3_600_000;
