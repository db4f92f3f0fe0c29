import { z } from 'zod';
import { createChannel, type ChannelPlace } from '../../platform/redis/channel.ts';

/**
 * Tells evaluators which alerts have changed, and streams whose alerts have fired. Loss is harmless: both look for themselves
 * every few seconds.
 */
export interface AlertNews {
  changed(alertIds: readonly string[]): Promise<void>;
  fired(userIds: readonly string[]): Promise<void>;
  /** Returns how to stop. */
  listen(listener: {
    onChanged?(alertIds: readonly string[]): void;
    onFired?(userIds: readonly string[]): void;
    /** The connection stands (again): news may have been missed. */
    onGap?(): void;
  }): () => void;
}

const ids = z.array(z.string()).readonly().default([]);
const schema = z.object({ changed: ids, fired: ids });

/** Builds the {@link AlertNews}. */
export function createAlertNews(place: ChannelPlace): AlertNews {
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
