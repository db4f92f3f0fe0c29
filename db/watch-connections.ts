import type pg from 'pg';

/** What a pool needs of us, as knex names it. */
interface PoolHooks {
  afterCreate(client: pg.Client, done: (error: Error | undefined, client: pg.Client) => void): void;
  validate(client: pg.Client): Promise<boolean>;
}

interface Answer {
  readonly transaction_read_only: string;
}

type Callback = (error: Error | null, result: pg.QueryResult<Answer> | undefined) => void;

/** A server that takes no changes, or is about to end. */
const leaving = /^(25006|57P0.)$/;

const codeOf = (error: unknown): string =>
  error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : '';

/** A connection that has answered within this time (ms) is used without a check. */
const trustedMs = 1_000;
/** Longest wait (ms) for the answer of an idle connection; shorter than a caller waits for a connection. */
const answerMs = 1_500;
/** Least time (ms) between two renewals of all connections: while no server takes changes, reads go on. */
const renewalMs = 2_000;

/**
 * Lets a pool drop connections whose other end has fallen silent: a machine that is lost, a firewall that forgets. The system
 * would notice after a quarter of an hour, and the driver gives a statement up but keeps the connection, so that the next
 * statement waits in vain too.
 *
 * - A statement without an answer in time ends its connection.
 * - A connection that was idle is checked with a query before it is used.
 * - When either times out, connections that have not answered since it was sent are not used again: all have the same
 *   peer.
 *
 * A connection to a server that takes no changes leaves too: it may be one to a primary that was demoted, while a new connection
 * finds the new one.
 */
export function watchConnections(): PoolHooks {
  const heardAt = new WeakMap<pg.Client, number>();
  const openedAt = new WeakMap<pg.Client, number>();
  let distrustedBefore = 0;
  let renewedAt = 0;

  const giveUp = (client: pg.Client, requestedAt: number): void => {
    distrustedBefore = Math.max(distrustedBefore, requestedAt);
    // It has a statement under way, so this closes the socket without waiting.
    client.end().catch(() => undefined);
  };

  const isOlder = (client: pg.Client): boolean => (openedAt.get(client) ?? 0) < renewedAt;

  /** Lets everything that is open by now leave when its statement is over, once in a while. */
  const renew = (): void => {
    const now = performance.now();
    if (now - renewedAt > renewalMs) renewedAt = now;
  };

  return {
    afterCreate(client, done) {
      heardAt.set(client, performance.now());
      openedAt.set(client, performance.now());
      const query = client.query.bind(client) as (config: pg.QueryConfig, callback: Callback) => void;
      // The one form in which knex asks.
      const watched = (config: pg.QueryConfig, callback: Callback): void => {
        const requestedAt = performance.now();
        query(config, (error, result) => {
          if (error instanceof Error && error.message === 'Query read timeout') giveUp(client, requestedAt);
          else heardAt.set(client, performance.now());
          if (leaving.test(codeOf(error))) renew();
          callback(error, result);
        });
      };
      client.query = watched as typeof client.query;
      done(undefined, client);
    },

    async validate(client) {
      const heard = heardAt.get(client) ?? 0;
      if (heard < distrustedBefore || isOlder(client)) return false;
      if (performance.now() - heard < trustedMs) return true;
      const question = { text: 'show transaction_read_only', query_timeout: answerMs };
      const answer = await new Promise<pg.QueryResult<Answer> | undefined>((resolve) => {
        (client.query as (config: pg.QueryConfig, callback: Callback) => void)(question, (_error, result) =>
          resolve(result),
        );
      });
      if (answer?.rows[0]?.transaction_read_only === 'on') renew();
      return answer !== undefined && !isOlder(client);
    },
  };
}
