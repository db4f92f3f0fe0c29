/**
 * Changes over a window, in per cent: the price now against the last that was observed at its beginning. Prices of the past come
 * from stored candles and are asked for once in a minute for each asset and window.
 */
import type { AlertValueQueries, ReferencePrice } from './queries/alert-values.ts';
import type { NotEvaluated } from './alert.ts';
import { levelOf, percentChange, textOfLevel, textOfPrice } from './level.ts';
import type { ReadQuote, Seen } from './seen.ts';
import type { Subject } from './subject.ts';

/** What a value is at present, or why it cannot be had. */
export type Valued = { readonly seen: Seen } | { readonly reason: NotEvaluated };

interface Held {
  readonly askedAt: number;
  readonly reference: ReferencePrice | undefined;
}

const heldMs = 60_000;
/** References of one statement. */
const batchSize = 500;
/** Without an observation in this time (ms), or this share of the window, before its beginning there is no reference. */
const leastToleranceMs = 900_000;
const toleranceShare = 0.1;
/** Digits behind the point of a change, as it is told. */
const toldDigits = 18;

export class ChangeValues {
  readonly #queries: Pick<AlertValueQueries, 'references'>;
  readonly #held = new Map<string, Held>();

  constructor(queries: Pick<AlertValueQueries, 'references'>) {
    this.#queries = queries;
  }

  /** Nobody watches it any more. */
  forget(subject: Subject): void {
    this.#held.delete(subject.key);
  }

  /**
   * Makes sure that the references are there.
   * @throws {UnavailableError} Postgres does not answer.
   */
  async prepare(subjects: readonly Subject[], now: number): Promise<void> {
    const due = subjects.filter(({ key }) => now - (this.#held.get(key)?.askedAt ?? 0) >= heldMs);
    for (let from = 0; from < due.length; from += batchSize) {
      const part = due.slice(from, from + batchSize);
      const found = await this.#queries.references(part.map((subject) => askedOf(subject, now)));
      for (const [index, { key }] of part.entries())
        this.#held.set(key, { askedAt: now, reference: found[index] });
    }
  }

  /** The change now. */
  valueOf({ key }: Subject, quote: ReadQuote | undefined): Valued {
    if (quote === undefined) return { reason: 'no_quote' };
    const reference = this.#held.get(key)?.reference;
    if (reference === undefined) return { reason: 'no_reference' };
    const { price, ...told } = quote;
    const before = textOfPrice(reference.price);
    const value = percentChange(levelOf(textOfPrice(price)), levelOf(before));
    if (value === undefined) return { reason: 'no_reference' };
    return {
      seen: {
        value,
        text: textOfLevel(value, toldDigits),
        at: told.receivedAt,
        isFresh: told.state === 'fresh',
        quote: told,
        reference: { price: before, at: new Date(reference.at).toISOString() },
      },
    };
  }
}

function askedOf({ of }: Subject, now: number) {
  const windowMs = (of.windowSeconds ?? 0) * 1000;
  const at = now - windowMs;
  const from = at - Math.max(leastToleranceMs, windowMs * toleranceShare);
  return { assetId: of.assetId ?? '', currency: of.currency, at, from };
}
