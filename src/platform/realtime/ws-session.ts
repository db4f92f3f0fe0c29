/**
 * The dialogue over a WebSocket. Subscriptions of one connection are processed one after the other, in the order they came,
 * because some must wait for the database; each is done as a whole or not at all. Pings are answered at once.
 */
import type { WebSocket } from 'ws';
import { z } from 'zod';
import { AppError, messageOf, UnavailableError } from '../../domain/errors.ts';
import type { Clock } from '../concurrency/clock.ts';
import { boundedArray } from '../http/fields.ts';
import { validate } from '../http/validate.ts';
import type { Logger } from '../observability/logger.ts';
import { Frame } from './frame.ts';
import type { RenewTicket } from './stream-life.ts';
import type { Topic, TopicSession } from './topic.ts';
import { responseFrame, maxMessageBytes, problemFrame } from './ws-messages.ts';
import type { WsStream, WsHandler } from './ws-stream.ts';

/** Longest `id` of a message, in characters. */
const longestMessageId = 64;
/** Messages, pings and pongs among them, that a client may send in a second. */
const messagesPerSecond = 50;

/** What a client asks for. Defaults are filled in; lists, by kind of topic, hold nothing twice. */
type ClientMessage =
  | { readonly action: 'ping'; readonly id: string | undefined }
  | { readonly action: 'ticket'; readonly id: string | undefined }
  | {
      readonly action: 'subscribe' | 'unsubscribe';
      readonly id: string | undefined;
      readonly lists: ReadonlyMap<string, readonly string[]>;
      readonly fields: Readonly<Record<string, unknown>>;
    };

/** A connection would have more of a topic than it may. */
function tooMany(kind: string, { tooMany: message }: Pick<Topic, 'tooMany'>): AppError {
  return new AppError(message, { code: `too_many_${kind}`, status: 422 });
}

const idField = z.string().max(longestMessageId, `must be at most ${longestMessageId} characters`).optional();

/**
 * Makes what checks messages about these topics.
 * @throws {AppError} the checking: `too_many_coins` and the like, or a {@link ValidationError} that names every field that
 *   breaks a rule.
 */
export function createMessageReader(topics: ReadonlyMap<string, Topic>): (given: unknown) => ClientMessage {
  const kinds = [...topics.keys()];
  const lists = Object.fromEntries(
    [...topics].map(([kind, { item, most }]) => [
      kind,
      boundedArray(item, most)
        .transform((items) => [...new Set(items)])
        .optional(),
    ]),
  );
  const fieldsOf = (action: 'subscribe' | 'unsubscribe'): z.ZodRawShape =>
    Object.assign({}, ...[...topics.values()].map(({ fields }) => fields[action])) as z.ZodRawShape;
  const message = z
    .discriminatedUnion(
      'action',
      [
        z.strictObject({
          action: z.literal('subscribe'),
          id: idField,
          ...lists,
          ...fieldsOf('subscribe'),
        }),
        z.strictObject({
          action: z.literal('unsubscribe'),
          id: idField,
          ...lists,
          ...fieldsOf('unsubscribe'),
        }),
        z.strictObject({ action: z.literal('ping'), id: idField }),
        z.strictObject({ action: z.literal('ticket'), id: idField }),
      ],
      { error: 'must be an object with the action subscribe, unsubscribe, ping or ticket' },
    )
    .superRefine((requested: Readonly<Record<string, unknown>>, ctx) => {
      if (requested['action'] === 'ping' || requested['action'] === 'ticket') return;
      if (kinds.every((kind) => requested[kind] === undefined))
        ctx.addIssue({
          code: 'custom',
          path: kinds.slice(0, 1),
          message: `is required, unless the message has ${kinds.slice(1).join(' or ')}`,
        });
    });

  return (given) => {
    // More than a connection may ever have is reported as such, not as a rule of one field; the elements are not checked.
    if (typeof given === 'object' && given !== null)
      for (const [kind, topic] of topics) {
        const items = (given as Readonly<Record<string, unknown>>)[kind];
        if (Array.isArray(items) && items.length > topic.most) throw tooMany(kind, topic);
      }
    const [checked] = validate([{ schema: message, given, prefix: '' }]);
    const { action, id, ...fields } = checked as {
      readonly action: ClientMessage['action'];
      readonly id?: string;
      readonly [field: string]: unknown;
    };
    if (action === 'ping' || action === 'ticket') return { action, id };
    const items = kinds.map((kind) => [kind, (fields[kind] ?? []) as readonly string[]] as const);
    return { action, id, fields, lists: new Map(items) };
  };
}

/** Subscriptions that may wait for their turn. */
const maxWaiting = 50;
/** After so many messages in a row that are no JSON, the connection is closed. */
const maxMalformed = 10;

interface WsSessionDeps {
  readonly stream: WsStream;
  readonly ws: WebSocket;
  readonly clock: Clock;
  readonly log: Logger;
  readonly topics: ReadonlyMap<string, Topic>;
  readonly readMessage: ReturnType<typeof createMessageReader>;
  readonly issueTicket: RenewTicket;
}

type Subscription = Extract<ClientMessage, { readonly lists: unknown }>;

export class WsSession implements WsHandler {
  readonly #deps: WsSessionDeps;
  /** What the connection has, by kind of topic. */
  readonly #sessions: ReadonlyMap<string, TopicSession>;
  /** A bucket of tokens: so many messages a second, and as many at once. */
  #allowed = messagesPerSecond;
  #filledAt: number;
  #order: Promise<void> = Promise.resolve();
  #waiting = 0;
  #malformed = 0;

  constructor(deps: WsSessionDeps) {
    this.#deps = deps;
    this.#filledAt = deps.clock.now();
    this.#sessions = new Map([...deps.topics].map(([kind, topic]) => [kind, topic.open(deps.stream)]));
  }

  /** Greets, and listens from now on. */
  begin(): void {
    const { stream, ws, topics, clock } = this.#deps;
    stream.open(this);
    // By default the library delivers one buffer.
    ws.on('message', (bytes: Buffer, isBinary: boolean) =>
      this.#onMessage(isBinary ? undefined : bytes.toString()),
    );
    // Control frames are not free either.
    ws.on('ping', () => this.#isAllowed());
    ws.on('pong', () => this.#isAllowed());
    const data = {
      ...(Object.assign({}, ...[...topics.values()].map((topic) => topic.hello?.())) as object),
      server_time: new Date(clock.now()).toISOString(),
      limits: {
        ...Object.fromEntries([...topics].map(([kind, { most }]) => [kind, most])),
        messages_per_second: messagesPerSecond,
        message_bytes: maxMessageBytes,
      },
    };
    stream.write(new Frame({ type: 'hello', data: JSON.stringify(data) }));
  }

  isIdle(): boolean {
    return this.#waiting === 0 && [...this.#sessions.values()].every(({ size }) => size === 0);
  }

  flush(): void {
    for (const session of this.#sessions.values()) session.flush?.();
  }

  close(): void {
    for (const session of this.#sessions.values()) session.close();
  }

  /** Undefined for a binary message. */
  #onMessage(text: string | undefined): void {
    const { stream, readMessage } = this.#deps;
    if (!stream.isOpen() || !this.#isAllowed()) return;
    if (text === undefined) {
      stream.breach('binary', 'send a text message');
      return;
    }
    const given = this.#parse(text);
    if (given === undefined) return;
    const id = idOf(given.message);
    try {
      this.#answer(readMessage(given.message));
    } catch (error) {
      stream.writeBytes(problemFrame(error, id));
    }
  }

  #isAllowed(): boolean {
    const { stream, clock } = this.#deps;
    const now = clock.now();
    const since = Math.max(0, now - this.#filledAt);
    this.#allowed = Math.min(messagesPerSecond, this.#allowed + (since * messagesPerSecond) / 1000);
    this.#filledAt = now;
    if (this.#allowed < 1) {
      stream.breach('flood', 'too many messages');
      return false;
    }
    this.#allowed -= 1;
    return true;
  }

  /** Undefined for what is no JSON; the client has been told. */
  #parse(text: string): { readonly message: unknown } | undefined {
    const { stream } = this.#deps;
    try {
      const message: unknown = JSON.parse(text);
      this.#malformed = 0;
      return { message };
    } catch {
      const error = new AppError('The message is not valid JSON', { code: 'malformed_message', status: 400 });
      stream.writeBytes(problemFrame(error, undefined));
      this.#malformed += 1;
      if (this.#malformed >= maxMalformed) stream.breach('malformed', 'send JSON');
      return undefined;
    }
  }

  #answer(message: ClientMessage): void {
    const { stream, issueTicket } = this.#deps;
    const { action, id } = message;
    if (action === 'ping') stream.writeBytes(responseFrame('pong', id));
    else if (action === 'ticket') {
      const { ticket, expiresInSeconds } = issueTicket();
      stream.writeBytes(responseFrame('ticket', id, { ticket, expires_in: expiresInSeconds }));
    } else this.#inOrder(message);
  }

  #inOrder(message: Subscription): void {
    if (this.#waiting >= maxWaiting)
      throw new UnavailableError('Too many messages of this connection are waiting; wait for their replies', {
        code: 'busy',
      });
    this.#waiting += 1;
    this.#order = this.#order
      .then(() => (message.action === 'subscribe' ? this.#subscribe(message) : this.#unsubscribe(message)))
      .catch((error: unknown) => {
        if (!(error instanceof AppError))
          this.#deps.log.error(
            { reason: messageOf(error) },
            'a WebSocket message failed with an unexpected error; the client received an error message',
          );
        this.#deps.stream.writeBytes(problemFrame(error, message.id));
      })
      .then(() => void (this.#waiting -= 1));
  }

  async #subscribe({ id, lists, fields }: Subscription): Promise<void> {
    const { stream, topics } = this.#deps;
    if (!stream.isOpen()) return;
    const plans = [...this.#sessions].map(([kind, session]) => {
      const plan = session.plan(lists.get(kind) ?? [], fields);
      return { kind, plan, size: () => session.size + plan.fresh };
    });
    for (const { kind, size } of plans) {
      const topic = topics.get(kind);
      if (topic !== undefined && size() > topic.most) throw tooMany(kind, topic);
    }
    for (const { plan } of plans) await plan.admit?.();
    for (const { plan } of plans) await plan.load?.();
    // It may have closed while the database answered, and nothing is begun for a connection that has closed.
    if (!stream.isOpen()) return;
    const watched = Object.fromEntries(plans.map(({ kind, size }) => [kind, size()]));
    stream.writeBytes(responseFrame('subscribed', id, watched));
    for (const { plan } of plans) plan.begin();
  }

  #unsubscribe({ id, lists, fields }: Subscription): void {
    for (const [kind, session] of this.#sessions) session.stop(lists.get(kind) ?? [], fields);
    const watched = Object.fromEntries([...this.#sessions].map(([kind, { size }]) => [kind, size]));
    this.#deps.stream.writeBytes(responseFrame('unsubscribed', id, watched));
  }
}

/** The `id` of a message that may be wrong in other ways, so that its refusal can be told apart. */
function idOf(message: unknown): string | undefined {
  if (typeof message !== 'object' || message === null || !('id' in message)) return undefined;
  const { id } = message;
  return typeof id === 'string' && id.length <= longestMessageId ? id : undefined;
}
