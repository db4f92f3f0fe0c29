/** A PgBouncer of Debian's package in transaction mode, with its defaults, in front of a Postgres of the tests. */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { freePort } from '../../embedded/free-port.ts';
import { waitFor } from './wait-for.ts';

export interface PgBouncer {
  /** The URL of a database with the address of PgBouncer in the place of Postgres's. */
  through(databaseUrl: string): string;
  stop(): Promise<void>;
}

/** Whether the program is there (Debian: `pgbouncer`). */
export function hasPgBouncer(): boolean {
  try {
    execFileSync(program, ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

const program = '/usr/sbin/pgbouncer';

/**
 * Starts one.
 * @param adminUrl of the Postgres behind it; its user and password are known to PgBouncer, all its databases can be used.
 * @param settings lines of the section `[pgbouncer]` beside its address, its users and the pool mode.
 */
export async function startPgBouncer(adminUrl: string, settings: readonly string[] = []): Promise<PgBouncer> {
  const { hostname, port: serverPort, username, password } = new URL(adminUrl);
  const folder = await mkdtemp(join(tmpdir(), 'pricepool-pgbouncer-'));
  await chmod(folder, 0o755);
  const [config, users, port] = [join(folder, 'pgbouncer.ini'), join(folder, 'users.txt'), await freePort()];
  await writeFile(users, `"${username}" "${decodeURIComponent(password)}"\n`);
  const lines = [
    '[databases]',
    `* = host=${hostname} port=${serverPort}`,
    '[pgbouncer]',
    'listen_addr = 127.0.0.1',
    `listen_port = ${port}`,
    'unix_socket_dir =',
    'auth_type = scram-sha-256',
    `auth_file = ${users}`,
    'pool_mode = transaction',
    ...settings,
  ];
  await writeFile(config, `${lines.join('\n')}\n`);
  // It refuses to be root.
  const asUser = process.getuid?.() === 0 ? ['--user=nobody'] : [];
  const child = spawn(program, ['-q', ...asUser, config], { stdio: ['ignore', 'ignore', 'pipe'] });
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (said += text));
  const through = (databaseUrl: string): string => {
    const url = new URL(databaseUrl);
    url.host = `127.0.0.1:${port}`;
    return url.href;
  };
  const stop = async (): Promise<void> => {
    if (child.exitCode === null && child.signalCode === null) {
      const ended = once(child, 'exit');
      child.kill('SIGQUIT');
      await ended;
    }
    await rm(folder, { recursive: true, force: true });
  };
  try {
    await waitFor(
      async () => {
        const client = new pg.Client({ connectionString: through(adminUrl), connectionTimeoutMillis: 2_000 });
        client.on('error', () => undefined);
        try {
          await client.connect();
          return true;
        } finally {
          await client.end();
        }
      },
      { what: `PgBouncer to answer`, timeoutMs: 20_000 },
    );
  } catch (error) {
    await stop();
    throw new Error(`PgBouncer did not start: ${said}`, { cause: error });
  }
  return { through, stop };
}
