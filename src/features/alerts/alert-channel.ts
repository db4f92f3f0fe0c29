import { z } from 'zod';
import { createChannel, type ChannelPlace } from '../../platform/redis/channel.ts';

/**
 * Tells evaluators which alerts have changed, and streams which users have new firings. A lost message is harmless: both also
 * poll every few seconds.
 */
export interface AlertChannel {
  changed(alertIds: readonly string[]): Promise<void>;
  fired(userIds: readonly string[]): Promise<void>;
  /** Returns a function that stops listening. */
  listen(listener: {
    onChanged?(alertIds: readonly string[]): void;
    onFired?(userIds: readonly string[]): void;
    /** The connection is (again) established: messages may have been missed. */
    onGap?(): void;
  }): () => void;
}

const ids = z.array(z.string()).readonly().default([]);
const schema = z.object({ changed: ids, fired: ids });

/** Builds the {@link AlertChannel}. */
export function createAlertChannel(place: ChannelPlace): AlertChannel {
  const channel = createChannel({ ...place, schema });
  return {
    changed: (alertIds) => channel.publish({ changed: alertIds, fired: [] }),
    fired: (userIds) => channel.publish({ changed: [], fired: userIds }),
    listen: (listener) =>
      channel.listen(
        ({ changed, fired }) => {
          if (changed.length > 0) listener.onChanged?.(changed);
          if (fired.length > 0) listener.onFired?.(fired);
        },
        () => listener.onGap?.(),
      ),
  };
}
