import type { Redis } from 'ioredis';
import { parseMessage } from '../../platform/redis/parse-message.ts';

/** An order to every worker process. */
export interface ControlMessage {
  /** Nobody waits for this run any more: end it without a result. */
  readonly abandon: string;
}

/** Tells all workers that nobody waits for a run any more. Loss is harmless: the run then ends by itself. */
export async function publishAbandon(redis: Redis, channel: string, workKey: string): Promise<void> {
  const message: ControlMessage = { abandon: workKey };
  await redis.publish(channel, JSON.stringify(message));
}

/** Listens for orders on a subscriber connection that may be shared with other channels. */
export function listenForControl(redis: Redis, channel: string, onAbandon: (workKey: string) => void): void {
  const subscribe = (): void => void redis.subscribe(channel).catch(() => undefined);
  redis.on('ready', subscribe);
  if (redis.status === 'ready') subscribe();
  redis.on('message', (from: string, text: string) => {
    const message = from === channel ? parseMessage(text) : undefined;
    if (message !== undefined) onAbandon((message as ControlMessage).abandon);
  });
}
