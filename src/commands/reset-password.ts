/**
 * Makes a one-time token that sets a new password: `npm run password:reset -- --email <address>`, for people who have forgotten
 * theirs where no mail server is configured. Without a configured Postgres it takes that of the running `npm start`.
 */
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { checkConnection, openDatabase } from '../../db/connection.ts';
import { createUserQueries } from '../features/accounts/queries/users.ts';
import { hashOfSecret, newSecret } from '../features/accounts/secrets.ts';
import { credentialLifeOf } from '../features/accounts/tokens.ts';
import { usableDatabase } from '../platform/config/embedded-urls.ts';
import { loadEnvironmentFile } from '../platform/config/env-file.ts';
import { loadConfig } from '../platform/config/load-config.ts';
import { forgotBody } from '../features/accounts/schemas.ts';
import { messageOf } from '../domain/errors.ts';

/** Life of the token. */
const expiresInSeconds = 30 * 60;

async function main(): Promise<void> {
  loadEnvironmentFile();
  const { values } = parseArgs({ options: { email: { type: 'string' } } });
  const given = forgotBody.safeParse(values);
  if (!given.success) {
    const problems = given.error.issues.map((issue) => `${issue.path.join('.')} ${issue.message}`);
    throw new Error(problems.join('; '));
  }
  await makeToken(given.data.email);
}

async function makeToken(email: string): Promise<void> {
  const config = loadConfig();
  const { database, hint } = usableDatabase(config);
  const knex = openDatabase({ database, poolSize: 2 });
  try {
    await checkConnection(knex, { database, hint });
    const users = createUserQueries(knex, credentialLifeOf(config));
    const account = await users.findByEmail(email);
    if (account === undefined) throw new Error(`${email} has no account`);
    const token = newSecret('reset');
    await users.storeReset({
      userId: account.id,
      hash: hashOfSecret(token),
      expiresInSeconds,
      by: { via: 'command' },
    });
    process.stdout.write(instructions(token, config.PUBLIC_URL ?? 'http://<your API>'));
  } finally {
    await knex.destroy();
  }
}

/** The token is on a line of its own, so that scripts can read it. */
function instructions(token: string, root: string): string {
  return `This token can be used once within the next ${expiresInSeconds / 60} minutes:

${token}

Set a new password with it (every session of the account ends):

curl -s ${root.replace(/\/+$/, '')}/api/v1/auth/password/reset -H 'content-type: application/json' \\
  -d '{"token":"${token}","password":"..."}'
`;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  await main().catch((error: unknown) => {
    process.stderr.write(`Cannot make a reset token: ${messageOf(error)}\n`);
    process.exitCode = 1;
  });
}
