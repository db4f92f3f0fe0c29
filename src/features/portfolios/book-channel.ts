import { z } from 'zod';
import { createChannel, type Channel, type ChannelPlace } from '../../platform/redis/channel.ts';

/** Ids of portfolios whose derived tables are current again. A lost message is harmless: waiting readers also poll. */
export type BookChannel = Channel<string>;

const schema = z.codec(z.object({ booked: z.string() }), z.string(), {
  decode: ({ booked }) => booked,
  encode: (booked) => ({ booked }),
});

/** Builds the {@link BookChannel}. */
export function createBookChannel(place: ChannelPlace): BookChannel {
  return createChannel({ ...place, schema });
}
