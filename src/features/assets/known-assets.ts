import type { AssetDirectory } from './asset-directory.ts';
import { UnavailableError } from '../../domain/errors.ts';

/**
 * The directory, if there is one.
 * @throws {UnavailableError} no list of coins has been fetched yet.
 */
export function known(assets: AssetDirectory): AssetDirectory {
  if (assets.isKnown()) return assets;
  throw new UnavailableError('The list of coins has not been fetched yet', {
    code: 'assets_unknown',
    retryAfterSeconds: 5,
  });
}
