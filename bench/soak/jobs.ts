/** Bulk jobs: submitted with and without waiting, some twice under one key, all polled to their end. */
import type { Row } from '../support/bench.ts';
import { madeUp, pick } from '../support/figures.ts';
import { anyOf, chance, dataOf, newId, none, repeat, type Part, type Soak, type User } from './clients.ts';

const submitters = 4;
const pollers = 3;
const coins = ['bitcoin', 'ethereum', ...madeUp(1, 400)];

interface JobRow {
  readonly id: string;
  readonly state: string;
  readonly error: { readonly message?: string } | null;
}

interface PortfolioRow {
  readonly id: string;
  readonly state: string;
  readonly price: number;
  readonly received_at: string;
}

const idOf = (location: string | null): string => location?.split('/').at(-1) ?? '';

export function jobsLoad(soak: Soak): Part {
  const accepted = new Map<string, User>();
  const open: string[] = [];
  const vanished: string[] = [];
  const doubled: string[] = [];
  const reported = new Set<string>();
  let repetitions = 0;

  async function submit(): Promise<void> {
    const user = anyOf(soak.users);
    const key = chance(0.5) ? newId() : undefined;
    const waits = chance(0.5);
    const tells = chance(0.1);
    const body = {
      coins: pick(coins, 1 + Math.floor(Math.random() * 30)),
      ...(tells ? { callback_url: `${soak.receiver.url}/jobs` } : {}),
    };
    const headers = {
      ...(key === undefined ? {} : { 'idempotency-key': key }),
      ...(waits ? { prefer: 'wait=5' } : {}),
    };
    const send = async (): Promise<string | undefined> => {
      const requested = Date.now();
      const answer = await user.ask('POST', '/crypto/bulk', { body, headers });
      if (answer === undefined || ![200, 202].includes(answer.status)) return undefined;
      const id = idOf(answer.headers.get('location'));
      if (!accepted.has(id)) open.push(id);
      accepted.set(id, user);
      if (tells) reported.add(id);
      if (answer.status === 200)
        check(dataOf<{ portfolio: readonly PortfolioRow[] }>(answer).portfolio ?? [], requested);
      return id;
    };
    let id = await send();
    if (key === undefined) return;
    // A lost answer, or a client that is not sure: the same request again is the same job.
    for (let tries = 0; tries < 20 && !soak.end.aborted && (id === undefined || chance(0.2)); tries += 1) {
      const again = await send();
      if (id !== undefined && again !== undefined) {
        repetitions += 1;
        if (again !== id) doubled.push(`${key}: ${id} and ${again}`);
      }
      id ??= again;
    }
  }

  function check(rows: readonly PortfolioRow[], requested: number): void {
    const answered = Date.now();
    for (const { id, state, price, received_at: at } of rows)
      if (state === 'fresh') {
        const receivedAt = Date.parse(at);
        // The job may have collected it long before it ended: it was fresh then.
        soak.truth.check({
          where: 'bulk',
          id,
          price,
          requested: Math.min(requested, receivedAt),
          answered,
          receivedAt,
        });
      }
  }

  async function poll(): Promise<void> {
    const id = open.shift();
    if (id === undefined) return;
    const answer = await accepted.get(id)?.ask('GET', `/jobs/${id}`);
    const { state } = dataOf<{ state: string }>(answer);
    if (answer?.status === 404) vanished.push(id);
    else if (!['completed', 'failed', 'cancelled'].includes(state ?? '')) open.push(id);
  }

  return {
    async run() {
      await Promise.all([
        ...Array.from({ length: submitters }, () => repeat(soak, 400, submit)),
        ...Array.from({ length: pollers }, () => repeat(soak, 60, poll)),
      ]);
    },
    async rows(): Promise<readonly Row[]> {
      const ids = [...accepted.keys()];
      const stored = await soak.fleet.backstage.query<JobRow>(
        'select id, state, error from jobs where id = any($1)',
        [ids],
      );
      const count = (...states: string[]): number =>
        stored.filter(({ state }) => states.includes(state)).length;
      const failed = stored
        .filter(({ state }) => state === 'failed')
        .map(({ id, error }) => `${id} ${error?.message ?? ''}`);
      const waiting = stored.filter(({ state }) => ['queued', 'running'].includes(state));
      const isWhole = stored.length === ids.length && vanished.length === 0;
      const webhooks = new Set(soak.receiver.received.map(({ headers }) => headers['webhook-id']));
      return [
        {
          what: 'jobs accepted = completed + failed + waiting',
          result: `${ids.length} = ${count('completed')} + ${failed.length} + ${waiting.length}${vanished.length === 0 ? '' : `, ${vanished.length} not found while polled`}`,
          requested: 'equal',
          kept: isWhole && count('completed', 'failed', 'queued', 'running') === ids.length,
        },
        none(
          'jobs that still wait when all is quiet',
          waiting.map(({ id, state }) => `${id} ${state}`),
        ),
        none('accepted jobs that failed', failed),
        none('keys under which a job was made twice', doubled, ` of ${repetitions} repetitions`),
        none(
          'ends of jobs that were told to nobody',
          [...reported].filter((id) => !webhooks.has(id)),
          ` of ${reported.size}`,
        ),
      ];
    },
  };
}
