import type { Platform } from '../../platform/platform.ts';
import { createAssetChannel } from './asset-channel.ts';
import { createAssetDirectory, type LiveAssetDirectory } from './asset-directory.ts';
import { createAssetQueries } from './queries/assets.ts';

export type AssetService = ReturnType<typeof createAssetService>;

/** Builds the service of the list of assets. */
export function createAssetService({
  knex,
  redis,
  subscriber,
  keys,
  log,
  shutdown,
}: Pick<Platform, 'knex' | 'redis' | 'subscriber' | 'keys' | 'log' | 'shutdown'>) {
  const list = createAssetQueries(knex);
  const channel = createAssetChannel({ redis, subscriber, channel: keys.assets });
  return {
    /** The list in Postgres, for processes without a copy. */
    list,
    /** Announces that the list has changed. */
    channel,
    /** Starts keeping the list in memory, until shutdown. Call it once in a process. */
    openDirectory(): LiveAssetDirectory {
      const directory = createAssetDirectory({ source: list, channel, log });
      shutdown.add('queues', 'list of assets', () => directory.close());
      return directory;
    },
  };
}
