import { z } from 'zod';
import { createChannel, type Channel, type ChannelPlace } from '../../platform/redis/channel.ts';

/** Says that the list of assets has changed. Loss is harmless: whoever holds a copy also looks by itself. */
export type AssetNews = Channel<void>;

const schema = z.codec(z.object({}), z.void(), { decode: () => undefined, encode: () => ({}) });

/** Builds the {@link AssetNews}. */
export function createAssetNews(place: ChannelPlace): AssetNews {
  return createChannel({ ...place, schema });
}
