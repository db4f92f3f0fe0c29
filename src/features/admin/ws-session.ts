/**
 * What is said over a WebSocket. Subscriptions of one connection are taken one after the other, in the order they came, because
 * some must wait for the database; each is done as a whole or not at all. Pings are answered at once.
 */
import type { WebSocket } from 'ws';
import { requesterText } from '../../domain/requester.ts';
import type { JobRecord } from '../../domain/job.ts';
import type { Clock } from '../../platform/concurrency/clock.ts';
import { AppError, messageOf, UnavailableError } from '../../domain/errors.ts';
import type { Logger } from '../../platform/observability/logger.ts';
import { Frame } from '../../platform/realtime/frame.ts';
import type { PriceHub } from '../quotes/price-hub.ts';
import type { RenewTicket } from '../../platform/realtime/ticket-renewal.ts';
import { MessageAllowance } from '../../platform/realtime/ws-allowance.ts';
import { WsJobs, type FollowJob } from '../jobs/ws-jobs.ts';
import {
  answerFrame,
  idOf,
  messagesPerSecond,
  mostCoins,
  mostJobs,
  mostMessageBytes,
  parseJson,
  problemFrame,
  tooManyCoins,
  tooManyJobs,
  type ClientMessage,
  type Subscribe,
  type Unsubscribe,
} from '../../platform/realtime/ws-messages.ts';
import { WsPrices } from '../quotes/ws-prices.ts';
import type { WsStream, WsTalk } from '../../platform/realtime/ws-stream.ts';

/** What the HTTP side lends to a connection. */
export interface WsPorts {
  readonly issueTicket: RenewTicket;
  /**
   * Checks a message.
   * @throws {AppError} it breaks a rule.
   */
  readonly readMessage: (message: unknown) => ClientMessage;
  /** Rejects with an {@link AppError} when the client may not follow it, or there is no such job. */
  readonly findJob: (jobId: string) => Promise<JobRecord>;
}

interface WsSessionDeps extends WsPorts {
  readonly stream: WsStream;
  readonly ws: WebSocket;
  readonly hub: PriceHub;
  readonly clock: Clock;
  readonly log: Logger;
  readonly follow: FollowJob;
  /** Makes sure that the quotes are held here, as far as that is possible soon. Never rejects. */
  readonly load: (currency: string, assetIds: readonly string[]) => Promise<void>;
}

/** Subscriptions that may wait for their turn. */
const mostWaiting = 50;
/** After so many messages in a row that are no JSON, the connection is closed. */
const mostMalformed = 10;

export class WsSession implements WsTalk {
  readonly #deps: WsSessionDeps;
  readonly #prices: WsPrices;
  readonly #jobs: WsJobs;
  readonly #allowance: MessageAllowance;
  #turn: Promise<void> = Promise.resolve();
  #waiting = 0;
  #malformed = 0;

  constructor(deps: WsSessionDeps) {
    const { stream, hub, follow, clock } = deps;
    const write = (frame: Frame): void => stream.write(frame);
    const requester = requesterText(stream.client.viewer);
    this.#deps = deps;
    this.#allowance = new MessageAllowance(messagesPerSecond, clock.now());
    this.#prices = new WsPrices({ hub, requester, isReady: () => stream.isReady(), write });
    const onFault = (job: string): void =>
      stream.writeBytes(
        problemFrame(new UnavailableError('The events of the job cannot be read'), undefined, { job }),
      );
    this.#jobs = new WsJobs({ follow, write, onFault });
  }

  /** Greets, and listens from now on. */
  begin(): void {
    const { stream, ws, hub, clock } = this.#deps;
    stream.open(this);
    // One buffer is what the library gives unless it is told otherwise.
    ws.on('message', (bytes: Buffer, isBinary: boolean) =>
      this.#onMessage(isBinary ? undefined : bytes.toString()),
    );
    // Control frames are not free either.
    ws.on('ping', () => this.#isAllowed());
    ws.on('pong', () => this.#isAllowed());
    const data = {
      epoch: hub.epoch,
      seq: hub.seq,
      server_time: new Date(clock.now()).toISOString(),
      limits: {
        coins: mostCoins,
        jobs: mostJobs,
        messages_per_second: messagesPerSecond,
        message_bytes: mostMessageBytes,
      },
    };
    stream.write(new Frame({ type: 'hello', data: JSON.stringify(data) }));
  }

  isIdle(): boolean {
    return this.#prices.isEmpty && this.#jobs.size === 0 && this.#waiting === 0;
  }

  flush(): void {
    this.#prices.flush();
  }

  close(): void {
    this.#prices.close();
    this.#jobs.close();
  }

  /** Undefined for a binary message. */
  #onMessage(text: string | undefined): void {
    const { stream, readMessage } = this.#deps;
    if (!stream.isOpen() || !this.#isAllowed()) return;
    if (text === undefined) {
      stream.breach('binary', 'send text');
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
    const isAllowed = this.#allowance.take(clock.now());
    if (!isAllowed) stream.breach('flood', 'too many messages');
    return isAllowed;
  }

  /** Undefined for what is no JSON; the client has been told. */
  #parse(text: string): { readonly message: unknown } | undefined {
    const { stream } = this.#deps;
    try {
      const message = parseJson(text);
      this.#malformed = 0;
      return { message };
    } catch (error) {
      stream.writeBytes(problemFrame(error, undefined));
      this.#malformed += 1;
      if (this.#malformed >= mostMalformed) stream.breach('malformed', 'send JSON');
      return undefined;
    }
  }

  #answer(message: ClientMessage): void {
    const { stream, issueTicket } = this.#deps;
    const { action, id } = message;
    if (action === 'ping') stream.writeBytes(answerFrame('pong', id));
    else if (action === 'ticket') {
      const { ticket, expiresInSeconds } = issueTicket();
      stream.writeBytes(answerFrame('ticket', id, { ticket, expires_in: expiresInSeconds }));
    } else this.#takeTurn(message);
  }

  #takeTurn(message: Subscribe | Unsubscribe): void {
    if (this.#waiting >= mostWaiting)
      throw new UnavailableError('Too many subscriptions are waiting', { code: 'busy' });
    this.#waiting += 1;
    this.#turn = this.#turn
      .then(() => (message.action === 'subscribe' ? this.#subscribe(message) : this.#unsubscribe(message)))
      .catch((error: unknown) => this.#refuse(message, error))
      .then(() => void (this.#waiting -= 1));
  }

  #refuse({ id }: Subscribe | Unsubscribe, error: unknown): void {
    if (!(error instanceof AppError))
      this.#deps.log.error({ reason: messageOf(error) }, 'a WebSocket message could not be answered');
    this.#deps.stream.writeBytes(problemFrame(error, id));
  }

  async #subscribe({ id, coins, currency, interval, jobs, lastEventIds }: Subscribe): Promise<void> {
    const { stream, findJob, load } = this.#deps;
    if (!stream.isOpen()) return;
    const freshCoins = this.#prices.unwatched({ coins, currency });
    const freshJobs = jobs.filter((job) => !this.#jobs.has(job));
    this.#refuseTooMany(freshCoins.length, freshJobs.length);
    const found: JobRecord[] = [];
    // One after the other: a connection gets no more of the database than that.
    for (const job of freshJobs) found.push(await findJob(job));
    if (freshCoins.length > 0) await load(currency, freshCoins);
    // It may have closed while the database answered, and nothing is begun for a connection that has closed.
    if (!stream.isOpen()) return;
    const watched = {
      coins: this.#prices.size + freshCoins.length,
      jobs: this.#jobs.size + found.length,
    };
    stream.writeBytes(answerFrame('subscribed', id, watched));
    if (coins.length > 0) this.#prices.subscribe({ coins, currency, intervalMs: interval * 1000 });
    for (const job of found) this.#jobs.follow(job, lastEventIds.get(job.id));
  }

  #unsubscribe({ id, coins, currency, jobs }: Unsubscribe): void {
    this.#prices.unsubscribe({ coins, currency });
    for (const job of jobs) this.#jobs.stop(job);
    const watched = { coins: this.#prices.size, jobs: this.#jobs.size };
    this.#deps.stream.writeBytes(answerFrame('unsubscribed', id, watched));
  }

  #refuseTooMany(coins: number, jobs: number): void {
    if (this.#prices.size + coins > mostCoins) throw tooManyCoins();
    if (this.#jobs.size + jobs > mostJobs) throw tooManyJobs();
  }
}
