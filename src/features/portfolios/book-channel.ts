import { z } from 'zod';
import { createChannel, type Channel, type ChannelPlace } from '../../platform/redis/channel.ts';

/** Ids of portfolios whose derived tables are current again. A lost message is harmless: waiting readers also poll. */
export type BookNews = Channel<string>;

const schema = z.codec(z.object({ booked: z.string() }), z.string(), {
  decode: ({ booked }) => booked,
  encode: (booked) => ({ booked }),
});

/** Builds the {@link BookNews}. */
export function createBookNews(place: ChannelPlace): BookNews {
  return createChannel({ ...place, schema });
}
