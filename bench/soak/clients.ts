/** Clients of the soak: they ask any API, take every failure as an answer that did not come, and count what came. */
import { setTimeout as sleep } from 'node:timers/promises';
import { v7 as uuidv7 } from 'uuid';
import { apiClient, newUser, type ApiAnswer, type ApiClient } from '../../test/support/api-client.ts';
import type { Receiver } from '../../test/support/receiver.ts';
import type { Row } from '../support/bench.ts';
import type { Fleet } from './fleet.ts';
import type { Truth } from './truth.ts';

/** What every part of the load works with. */
export interface Soak {
  readonly fleet: Fleet;
  readonly truth: Truth;
  readonly receiver: Receiver;
  readonly users: readonly User[];
  /** Aborted at the end of the load. */
  readonly end: AbortSignal;
  say(text: string): void;
}

/** One part of the load: it runs until the end, and then tells which promises were kept. */
export interface Part {
  run(): Promise<void>;
  /** Called when all is quiet again. */
  rows(): Promise<readonly Row[]>;
}

/** A user of either API. */
export interface User {
  readonly token: string;
  /** An answer of any API; undefined when none came. */
  ask(...call: Parameters<ApiClient['call']>): Promise<ApiAnswer | undefined>;
}

/** Answers by status, and what was wrong with those that should not be. */
export interface SoakCounts {
  readonly statuses: Map<string, number>;
  readonly unexpected: string[];
}

/** 2xx; 503 and 429 say when to come back; 502 is the word of a job that has failed, which is counted by itself. */
const expected = new Set([200, 201, 202, 204, 304, 429, 502, 503]);
const maxKept = 50;

/** Registers a user. */
export async function createUser(
  fleet: Fleet,
  counts: SoakCounts,
  say: (text: string) => void,
): Promise<User> {
  const urls = fleet.stack.apis.map(({ url }) => url);
  const { token } = await newUser(urls[0] ?? '');
  return {
    token,
    async ask(method, path, options = {}) {
      const client = apiClient(anyOf(urls), token);
      const answer = await client
        .call(method, path, { timeoutMs: 30_000, ...options })
        .catch(() => undefined);
      const status = String(answer?.status ?? 'none');
      counts.statuses.set(status, (counts.statuses.get(status) ?? 0) + 1);
      if (answer !== undefined && !expected.has(answer.status) && counts.unexpected.length < maxKept) {
        const text = `${new Date().toISOString()} ${method} ${path}: ${status} ${JSON.stringify(answer.body)}`;
        counts.unexpected.push(text);
        say(`UNEXPECTED ANSWER ${text.slice(0, 600)}`);
      }
      return answer;
    },
  };
}

/** Any entry of a list that is not empty. */
export function anyOf<T>(list: readonly T[]): T {
  return list[Math.floor(Math.random() * list.length)] as T;
}

export const newId = (): string => uuidv7();

/** Whether a chance came true. */
export const chance = (share: number): boolean => Math.random() < share;

/** Waits, or until the load ends. */
export async function pause(soak: Pick<Soak, 'end'>, ms: number): Promise<void> {
  await sleep(ms, undefined, { signal: soak.end }).catch(() => undefined);
}

/** Repeats work until the load ends, with a pause between; what the work throws is said. */
export async function repeat(soak: Soak, pauseMs: number, work: () => Promise<unknown>): Promise<void> {
  while (!soak.end.aborted) {
    await work().catch((error: unknown) => soak.say(`a client has failed: ${String(error)}`));
    await pause(soak, pauseMs * (0.5 + Math.random()));
  }
}

/** What an answer holds, as its caller expects it; nothing when there is none. */
export function dataOf<T extends object>(answer: ApiAnswer | undefined): Partial<T> {
  return (answer?.body?.data ?? {}) as Partial<T>;
}

/** Sends a request that may be sent again until it is answered by something else than a failure that passes. */
export async function insist(
  soak: Soak,
  user: User,
  ...call: Parameters<ApiClient['call']>
): Promise<ApiAnswer | undefined> {
  for (;;) {
    const answer = await user.ask(...call);
    if (answer !== undefined && ![429, 503].includes(answer.status)) return answer;
    if (soak.end.aborted) return undefined;
    await pause(soak, 500);
  }
}

/** A row that is kept when a count is nothing; the first of what was counted is shown. */
export function none(what: string, found: readonly string[], of = ''): Row {
  const shown = found.length === 0 ? '' : `: ${found.slice(0, 3).join('; ').slice(0, 300)}`;
  return { what, result: `${found.length}${of}${shown}`, requested: '0', kept: found.length === 0 };
}
