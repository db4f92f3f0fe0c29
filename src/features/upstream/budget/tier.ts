import { z } from 'zod';
import type { ReportedLimits } from './budget.ts';

const positive = z.int().positive().nullish();
const count = z.int().nonnegative().nullish();

/**
 * CoinGecko's `GET /key`; every field is optional, so that a change of the format costs only information and does not break the
 * refresh.
 */
const keySchema = z.object({
  rate_limit_request_per_minute: positive.catch(undefined),
  monthly_call_credit: positive.catch(undefined),
  current_total_monthly_calls: count.catch(undefined),
  api_key_rate_limit_request_per_minute: positive.catch(undefined),
  api_key_monthly_call_credit: positive.catch(undefined),
  current_api_key_total_monthly_calls: count.catch(undefined),
});

/**
 * Reads the response of `GET /key`. A key may have limits of its own below those of the account; the tighter ones apply.
 * @throws {SyntaxError} when the text is not JSON; {@link z.ZodError} when it is not an object.
 */
export function parseKeyResponse(text: string): Omit<ReportedLimits, 'agoMs'> {
  const reported = keySchema.parse(JSON.parse(text));
  const account = { credits: reported.monthly_call_credit, spent: reported.current_total_monthly_calls };
  const key = {
    credits: reported.api_key_monthly_call_credit,
    spent: reported.current_api_key_total_monthly_calls,
  };
  const { credits, spent } = leftOf(key) < leftOf(account) ? key : account;
  const perMinute = [reported.rate_limit_request_per_minute, reported.api_key_rate_limit_request_per_minute];
  const known = perMinute.filter((limit) => typeof limit === 'number');
  return {
    callsPerMinute: known.length === 0 ? undefined : Math.min(...known),
    creditsPerMonth: credits ?? undefined,
    spent: spent ?? undefined,
  };
}

function leftOf({
  credits,
  spent,
}: {
  readonly credits: number | null | undefined;
  readonly spent: number | null | undefined;
}): number {
  return credits === null || credits === undefined ? Infinity : credits - (spent ?? 0);
}
