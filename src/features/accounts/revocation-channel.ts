import { z } from 'zod';
import { createChannel, type Channel, type ChannelPlace } from '../../platform/redis/channel.ts';

const revocation = z.object({
  kind: z.enum(['session', 'user', 'key']),
  subject: z.string(),
  generation: z.number().nullable(),
  /** Milliseconds since the epoch. */
  expiresAt: z.number(),
});

/** Credentials that are void from now on. Loss is harmless: every process reads them from the database too. */
export type RevocationChannel = Channel<readonly Readonly<z.output<typeof revocation>>[]>;

const schema = z.codec(z.object({ revocations: z.array(revocation) }), z.array(revocation).readonly(), {
  decode: ({ revocations }) => revocations,
  encode: (revocations) => ({ revocations: [...revocations] }),
});

/** Builds the {@link RevocationChannel}. */
export function createRevocationChannel(place: ChannelPlace): RevocationChannel {
  return createChannel({ ...place, schema });
}
