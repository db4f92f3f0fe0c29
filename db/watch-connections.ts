import type pg from 'pg';

/** What a pool needs of us, as knex names it. */
interface PoolHooks {
  afterCreate(client: pg.Client, done: (error: Error | undefined, client: pg.Client) => void): void;
  validate(client: pg.Client): Promise<boolean>;
}

type Callback = (error: Error | null, result: pg.QueryResult) => void;

/** A connection that was heard of within this time (ms) is used without asking. */
const trustedMs = 1_000;
/** Longest wait (ms) for the answer of an idle connection; less than whoever wants it waits for one. */
const answerMs = 1_500;

/**
 * Lets a pool drop connections whose other end has fallen silent: a machine that is lost, a firewall that forgets. The system
 * would notice after a quarter of an hour, and the driver gives a statement up but keeps the connection, so that the next
 * statement waits in vain too.
 *
 * - A statement without an answer in time ends its connection.
 * - A connection that was idle is asked before it is used.
 * - After either, no other connection is used that was not heard of since: they have a peer in common.
 */
export function watchConnections(): PoolHooks {
  const heardAt = new WeakMap<pg.Client, number>();
  let distrustedBefore = 0;

  const giveUp = (client: pg.Client, askedAt: number): void => {
    distrustedBefore = Math.max(distrustedBefore, askedAt);
    // It has a statement under way, so this closes the socket and waits for nobody.
    client.end().catch(() => undefined);
  };

  return {
    afterCreate(client, done) {
      heardAt.set(client, performance.now());
      const query = client.query.bind(client) as (config: pg.QueryConfig, callback: Callback) => void;
      // The one form in which knex asks.
      const watched = (config: pg.QueryConfig, callback: Callback): void => {
        const askedAt = performance.now();
        query(config, (error, result) => {
          if (error instanceof Error && error.message === 'Query read timeout') giveUp(client, askedAt);
          else heardAt.set(client, performance.now());
          callback(error, result);
        });
      };
      client.query = watched as typeof client.query;
      done(undefined, client);
    },

    async validate(client) {
      const heard = heardAt.get(client) ?? 0;
      if (heard < distrustedBefore) return false;
      if (performance.now() - heard < trustedMs) return true;
      const question = { text: 'select 1', query_timeout: answerMs };
      return await new Promise((resolve) => {
        (client.query as (config: pg.QueryConfig, callback: Callback) => void)(question, (error) =>
          resolve(error === null || error === undefined),
        );
      });
    },
  };
}
