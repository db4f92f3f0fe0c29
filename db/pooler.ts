import type { Knex } from 'knex';
import type pg from 'pg';

/** Limits that a session should have, as Postgres names them, in milliseconds. */
export type SessionLimits = Readonly<
  Record<'statement_timeout' | 'idle_in_transaction_session_timeout', number>
>;

/** What knex keeps of a pool of Postgres connections. */
interface PostgresClient {
  readonly connectionSettings: Record<string, unknown>;
  acquireRawConnection(): Promise<pg.Client>;
}

/** How PgBouncer refuses what it does not know (08P01). */
const refusal = /unsupported startup parameter(?: in options)?: (\w+)/;

/**
 * Lets a pool work through a pooler such as PgBouncer in transaction mode. A session there has no owner: its limits
 * cannot be requested when it opens (PgBouncer refuses that, or is set up to ignore it), and what `set` changes would
 * reach the next client that gets the session. So:
 *
 * - A limit that is refused at the opening is left out, and the connection opened without.
 * - Limits that are not in force then are set in every transaction for that transaction, in one message with its
 *   `begin`. A statement outside transactions has only the driver's own limit, unless the role in Postgres has one.
 *
 * @param onMissing called once with the limits that are not in force.
 */
export function toleratePooler(
  knex: Knex,
  {
    limits,
    onMissing,
  }: {
    readonly limits: SessionLimits;
    readonly onMissing: (names: readonly (keyof SessionLimits)[]) => void;
  },
): void {
  const client = knex.client as PostgresClient;
  const names = Object.keys(limits) as (keyof SessionLimits)[];
  const acquire = client.acquireRawConnection.bind(client);
  let missing: readonly (keyof SessionLimits)[] | undefined;

  const open = async (): Promise<pg.Client> => {
    for (let refusals = 0; ; refusals += 1) {
      try {
        return await acquire();
      } catch (error) {
        const [, name = ''] = refusal.exec(error instanceof Error ? error.message : '') ?? [];
        if (!Object.hasOwn(limits, name) || refusals === names.length) throw error;
        Reflect.deleteProperty(client.connectionSettings, name);
      }
    }
  };

  const missingOf = async (connection: pg.Client): Promise<readonly (keyof SessionLimits)[]> => {
    const settings = names.map((name) => `current_setting('${name}') as ${name}`);
    const { rows } = await connection.query<Record<string, string>>(`select ${settings.join(', ')}`);
    return names.filter((name) => rows[0]?.[name] === '0');
  };

  client.acquireRawConnection = async () => {
    const connection = await open();
    if (missing === undefined) {
      try {
        missing = await missingOf(connection);
      } catch (error) {
        connection.end().catch(() => undefined);
        throw error;
      }
      if (missing.length > 0) onMissing(missing);
    }
    if (missing.length > 0) setInTransactions(connection, missing, limits);
    return connection;
  };
}

function setInTransactions(
  connection: pg.Client,
  names: readonly (keyof SessionLimits)[],
  limits: SessionLimits,
): void {
  const settings = names.map((name) => `set local ${name} = ${limits[name]};`).join(' ');
  const query = connection.query.bind(connection) as (config: unknown, ...rest: unknown[]) => unknown;
  const scoped = (config: unknown, ...rest: unknown[]): unknown => {
    const isBeginning = isText(config) && config.text.startsWith('BEGIN');
    return query(isBeginning ? { ...config, text: `${config.text} ${settings}` } : config, ...rest);
  };
  connection.query = scoped as typeof connection.query;
}

function isText(config: unknown): config is { readonly text: string } {
  return typeof config === 'object' && config !== null && 'text' in config && typeof config.text === 'string';
}
