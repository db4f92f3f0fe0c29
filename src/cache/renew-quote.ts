import type { Demand } from '../demand/demand.ts';
import type { Urgency } from '../domain/quote.ts';
import type { Clock } from '../lib/clock.ts';

/**
 * Asks for a newer quote of an asset that somebody reads, without waiting for it. `requester` (src/domain/requester.ts) is
 * charged for it.
 */
export type RenewQuote = (currency: string, assetId: string, requester?: string) => Promise<void>;

interface RenewDeps {
  readonly demand: Pick<Demand, 'want'>;
  readonly clock: Clock;
  readonly freshMs: number;
  readonly kick: (currency: string, urgency: Urgency) => Promise<void>;
}

/** A stale quote that is read should be renewed within this time (ms), also while others wait for theirs. */
const slackMs = 20_000;

/** Builds a {@link RenewQuote}. */
export function createRenewQuote({ demand, clock, freshMs, kick }: RenewDeps): RenewQuote {
  return async (currency, assetId, requester) => {
    // In one order with what users wait for, only later; the call itself is one that can be spread.
    const { settled } = await demand.want({
      currency,
      assetIds: [assetId],
      urgency: 'interactive',
      freshAfter: clock.now() - freshMs,
      slackMs,
      requester,
    });
    if (settled.length === 0) await kick(currency, 'stream');
  };
}
