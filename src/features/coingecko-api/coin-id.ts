/** Which ids of paths below `/coins` are looked up at all: an id that nobody lists must cost no upstream call. */
import { assetIdSchema } from '../../../jobs/requests.ts';
import { NotFoundError } from '../../domain/errors.ts';
import type { AppDeps } from '../../app-deps.ts';
import { coinNotFound } from '../../platform/http/v3-errors.ts';

/** Paths of CoinGecko in the place of an id. Those that are mirrored have routes of their own. */
const otherPaths: ReadonlySet<string> = new Set(['categories', 'list', 'markets', 'top_gainers_losers']);

/** @throws {AppError} 404 for what cannot be an asset id, and for paths of CoinGecko that are not mirrored. */
export function checkedId(text: string): string {
  const id = assetIdSchema.safeParse(text);
  if (!id.success) throw coinNotFound();
  if (otherPaths.has(id.data)) throw new NotFoundError();
  return id.data;
}

/** @throws {AppError} 404 for an id that is not on the list of assets, once there is one. */
export function refuseUnlisted(assets: AppDeps['assets'], assetId: string): void {
  if (assets.isKnown() && assets.byId(assetId) === undefined) throw coinNotFound();
}
