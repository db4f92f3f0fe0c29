/** Requests over a WebSocket that wait for their answers, each until its own deadline. */
import { PricepoolError, type FieldProblem } from './pricepool-error.ts';

/** What the server says to a request, or of its own accord when something cannot go on. */
export interface Answer {
  readonly action?: string;
  readonly id?: string;
  readonly code?: string;
  readonly message?: string;
  readonly fields?: readonly FieldProblem[];
  readonly retry_after?: number;
  /** Of a problem that is no answer: the events of this job stop. */
  readonly job?: string;
  readonly coins?: number;
  readonly jobs?: number;
}

/** How a request is made, and what is done in the turn of its answer. */
export interface Asking {
  readonly send: (id: string) => void;
  readonly onAnswer: () => void;
}

interface Pending {
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: PricepoolError) => void;
}

/** Requests that may wait at the same time. */
export const mostPending = 100;

/** The requests of one socket. */
export class PendingAnswers {
  readonly #pending = new Map<string, Pending>();
  #requests = 0;

  /**
   * Sends a request and waits for its answer until `until` (ms since the epoch).
   * @throws {PricepoolError} the refusal, or status 0 when there was no answer.
   */
  async ask(until: number, { send, onAnswer }: Asking): Promise<Answer> {
    if (this.#pending.size >= mostPending) throw lost('too many requests are waiting');
    const id = String((this.#requests += 1));
    return await new Promise<Answer>((resolve, reject) => {
      const forget = (): void => {
        clearTimeout(timer);
        this.#pending.delete(id);
      };
      const fail = (error: PricepoolError): void => {
        forget();
        reject(error);
      };
      const timer = setTimeout(() => fail(lost('no answer in time')), Math.max(0, until - Date.now()));
      const succeed = (answer: Answer): void => {
        forget();
        onAnswer();
        resolve(answer);
      };
      this.#pending.set(id, { resolve: succeed, reject: fail });
      send(id);
    });
  }

  /** Hands an answer to who asked for it; one that came too late is nobody's. */
  settle(id: string, answer: Answer): void {
    const pending = this.#pending.get(id);
    if (answer.action === 'problem') pending?.reject(refusal(answer));
    else pending?.resolve(answer);
  }

  /** No answer will come any more. */
  loseAll(reason: string): void {
    for (const { reject } of [...this.#pending.values()]) reject(lost(reason));
  }
}

/** There was no answer. */
export function lost(reason: string): PricepoolError {
  return new PricepoolError(`No answer over the WebSocket: ${reason}`, {
    status: 0,
    code: 'connection_lost',
  });
}

/** Refusals over a WebSocket have no status; all of them are the answer to this very request. */
export function refusal(answer: Answer): PricepoolError {
  const { code = 'unknown', message = 'The API refused', fields, retry_after: retryAfterSeconds } = answer;
  return new PricepoolError(message, { status: 400, code, fields, retryAfterSeconds });
}
