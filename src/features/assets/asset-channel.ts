import { z } from 'zod';
import { createChannel, type Channel, type ChannelPlace } from '../../platform/redis/channel.ts';

/** Announces that the list of assets has changed. A lost message does no harm: processes with a copy also poll. */
export type AssetChannel = Channel<void>;

const schema = z.codec(z.object({}), z.void(), { decode: () => undefined, encode: () => ({}) });

/** Builds the {@link AssetChannel}. */
export function createAssetChannel(place: ChannelPlace): AssetChannel {
  return createChannel({ ...place, schema });
}
