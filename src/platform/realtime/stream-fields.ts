/** Fields of requests for streams. */
import { z } from 'zod';
import { wholeNumber } from '../http/fields.ts';

export const longestIntervalSeconds = 3_600;
export const maxUpdates = 1_000_000;

const ticket = z.string('must be given once').optional().meta({
  description: 'A stream ticket from POST /api/v1/auth/stream-ticket, for clients that cannot set headers',
});

/** Fields of every GET of a stream. `ticket` and `lastEventId` are read elsewhere. */
export const eventStreamFields = {
  ticket,
  lastEventId: z.string('must be given once').optional().meta({
    description:
      'Id of the last event that you received, for clients that cannot set the header Last-Event-ID',
  }),
};

/** Query of the WebSocket. `ticket` is read elsewhere. */
export const socketQuery = z.strictObject({ ticket });

/** Fields of every GET of a stream of values. */
export const streamFields = {
  interval: wholeNumber({ min: 1, max: longestIntervalSeconds })
    .default(1)
    .meta({ description: 'Minimum seconds between two updates, 1 to 3600; default 1' }),
  max_updates: wholeNumber({ min: 1, max: maxUpdates })
    .optional()
    .meta({ description: 'Number of updates after which the stream ends; absent: no limit' }),
  ...eventStreamFields,
};
