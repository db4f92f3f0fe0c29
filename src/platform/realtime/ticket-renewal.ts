import { Frame } from './frame.ts';

/** Makes a ticket for the same principal. */
export type RenewTicket = () => { readonly ticket: string; readonly expiresInSeconds: number };

/** Tells a client that came with a ticket the next one, before the last has expired. */
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
