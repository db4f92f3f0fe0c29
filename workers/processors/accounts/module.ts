import { createAuthRetentions } from '../../../src/features/accounts/queries/access-purge.ts';
import { createUserQueries } from '../../../src/features/accounts/queries/users.ts';
import { hashOfSecret, newSecret } from '../../../src/features/accounts/secrets.ts';
import { credentialLifeOf } from '../../../src/features/accounts/tokens.ts';
import { createMailer } from '../../../src/platform/mail/mailer.ts';
import type { Platform } from '../../../src/platform/platform.ts';
import type { WorkerModule } from '../../runtime/processor.ts';

/** Lifetime of a mailed token. */
const expiresInSeconds = 30 * 60;

/** Processors of accounts: mail, and the deletion of what is past its retention. Without a mail server nothing is queued. */
export function createAccountsProcessors({
  config,
  knex,
  shutdown,
}: Pick<Platform, 'config' | 'knex' | 'shutdown'>) {
  const { DELETED_USERNAME_RETENTION: nameHoldSeconds, REFRESH_EXPIRES_IN: refreshSeconds } = config;
  return {
    processors: {
      mail: () => {
        if (config.SMTP_URL === undefined) return undefined;
        const mailer = createMailer({ url: config.SMTP_URL, from: config.MAIL_FROM });
        shutdown.add('clients', 'mailer', () => mailer.close());
        const users = createUserQueries(knex, credentialLifeOf(config));
        return {
          'password-reset.mail': async ({ email, address, requestId }) => {
            const account = await users.findByEmail(email);
            if (account === undefined) return { sent: false };
            const token = newSecret('reset');
            // Stored before it is sent: a mail that arrives twice has two valid tokens, while an invalid one would help nobody.
            await users.storeReset({
              userId: account.id,
              hash: hashOfSecret(token),
              expiresInSeconds,
              by: { address, requestId },
            });
            await mailer.send({
              to: account.email,
              subject: 'Reset your password',
              text: textOf(account.username, token, config.PUBLIC_URL),
            });
            return { sent: true };
          },
        };
      },
    },
    retentions: createAuthRetentions(knex, { nameHoldSeconds, refreshSeconds }),
  } satisfies WorkerModule;
}

/** Without `publicUrl`, the public root URL of this deployment, the mail names the API call instead of a link. */
function textOf(username: string, token: string, publicUrl: string | undefined): string {
  const way =
    publicUrl === undefined
      ? [
          'Choose a new password with this one-time token:',
          '',
          token,
          '',
          'Send it to POST /api/v1/auth/password/reset as {"token": "…", "password": "…"}.',
        ]
      : // After a #, which browsers send neither to servers nor to other sites.
        ['Choose a new password here:', '', `${publicUrl.replace(/\/+$/, '')}/reset#${token}`];
  return [
    `Hello ${username},`,
    '',
    'someone, most likely you, has asked to reset the password of your account.',
    ...way,
    '',
    `It can be used once, in the next ${expiresInSeconds / 60} minutes. It ends every session of the account.`,
    'If it was not you, ignore this mail: your password stays as it is.',
    '',
  ].join('\n');
}
