import type { z } from 'zod';
import type { WsStream } from './ws-stream.ts';

/**
 * Something that WebSocket clients can subscribe to. Its kind is the field of a message that lists the items (`coins`, `jobs`),
 * and names it in the greeting and in the replies.
 */
export interface Topic<
  Subscribe extends z.ZodRawShape = z.ZodRawShape,
  Unsubscribe extends z.ZodRawShape = z.ZodRawShape,
> {
  /** Most items that one connection has. */
  readonly most: number;
  /** The error message for a client that asks for more. */
  readonly tooMany: string;
  readonly item: z.ZodType<string>;
  /** Further fields of a message that subscribes, and of one that unsubscribes. */
  readonly fields: { readonly subscribe: Subscribe; readonly unsubscribe: Unsubscribe };
  /** Members of the greeting of a WebSocket. */
  hello?(): object;
  /** Members of the heartbeat of every stream. */
  beat?(): object;
  open(stream: WsStream): TopicSession<z.output<z.ZodObject<Subscribe>>, z.output<z.ZodObject<Unsubscribe>>>;
}

/** One connection's part of a topic. Items come without duplicates; there are none when a message names none. */
export interface TopicSession<
  Subscribe = Readonly<Record<string, unknown>>,
  Unsubscribe = Readonly<Record<string, unknown>>,
> {
  /** Items that it has. */
  readonly size: number;
  /** Looks what a message would change; nothing is changed before `begin`. */
  plan(
    items: readonly string[],
    fields: Subscribe,
  ): {
    /** Items that the connection has not yet. */
    readonly fresh: number;
    /** Rejects with an {@link AppError} when the client may not have them. */
    readonly admit?: () => Promise<void>;
    /** Gets what the first answer is made of, as far as that is possible soon. Never rejects. */
    readonly load?: () => Promise<void>;
    readonly begin: () => void;
  };
  stop(items: readonly string[], fields: Unsubscribe): void;
  /** The client keeps up (again): sends what it missed. */
  flush?(): void;
  close(): void;
}
