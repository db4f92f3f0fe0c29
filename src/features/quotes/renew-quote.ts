import type { Demand } from './demand/demand.ts';
import type { Urgency } from '../../domain/quote.ts';
import type { Clock } from '../../platform/concurrency/clock.ts';

/**
 * Asks for newer quotes of an asset, or of several, that somebody reads, without waiting for it. `requester` (src/domain/requester.ts) is
 * charged for it.
 */
export type RenewQuote = (
  currency: string,
  assets: string | readonly string[],
  requester?: string,
) => Promise<void>;

interface RenewDeps {
  readonly demand: Pick<Demand, 'want'>;
  readonly clock: Clock;
  readonly freshMs: number;
  readonly kick: (currency: string, urgency: Urgency) => Promise<void>;
}

/** Builds a {@link RenewQuote}. */
export function createRenewQuote({ demand, clock, freshMs, kick }: RenewDeps): RenewQuote {
  return async (currency, assets, requester) => {
    const assetIds = typeof assets === 'string' ? [assets] : assets;
    // In one order with what users wait for, behind this user's own; the call itself is one that can be spread.
    const { settled } = await demand.want({
      currency,
      assetIds,
      urgency: 'interactive',
      freshAfter: clock.now() - freshMs,
      isPatient: true,
      requester,
    });
    if (settled.length < assetIds.length) await kick(currency, 'stream');
  };
}
