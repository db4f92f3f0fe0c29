import { z } from 'zod';
import { createChannel, type Channel, type ChannelPlace } from '../../platform/redis/channel.ts';

/**
 * Tells all workers that nobody waits for a run (its work key) any more. A lost message is harmless: the run then ends by
 * itself.
 */
export function createControlChannel(place: ChannelPlace): Channel<{ readonly abandon: string }> {
  return createChannel({ ...place, schema: z.object({ abandon: z.string() }) });
}
