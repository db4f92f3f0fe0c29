import type { PasswordQueries } from '../../../src/features/accounts/queries/password-resets.ts';
import type { UserQueries } from '../../../src/features/accounts/queries/users.ts';
import { hashOfSecret, newSecret } from '../../../src/features/accounts/secrets.ts';
import type { Mailer } from '../../../src/platform/mail/mailer.ts';
import type { ProcessorsOf } from '../../runtime/processor.ts';

export interface MailDeps {
  readonly users: Pick<UserQueries, 'findByEmail'>;
  readonly resets: Pick<PasswordQueries, 'storeReset'>;
  readonly mailer: Pick<Mailer, 'send'>;
  /** Root of this deployment as its users see it; absent: mails name the call instead of a link. */
  readonly publicUrl: string | undefined;
}

/** Life of a mailed token. */
const expiresInSeconds = 30 * 60;

/** The processors of the `mail` queue. */
export function createMailProcessors({ users, resets, mailer, publicUrl }: MailDeps): ProcessorsOf<'mail'> {
  return {
    'password-reset.mail': async ({ email, address, requestId }) => {
      const account = await users.findByEmail(email);
      if (account === undefined) return { sent: false };
      const token = newSecret('reset');
      // Stored before it is sent: a mail that comes twice has two good tokens, while one that is not good helps nobody.
      await resets.storeReset({
        userId: account.id,
        hash: hashOfSecret(token),
        expiresInSeconds,
        by: { address, requestId },
      });
      await mailer.send({
        to: account.email,
        subject: 'Reset your password',
        text: textOf({ username: account.username, token, publicUrl }),
      });
      return { sent: true };
    },
  };
}

interface TextParts {
  readonly username: string;
  readonly token: string;
  readonly publicUrl: string | undefined;
}

function textOf({ username, token, publicUrl }: TextParts): string {
  const way =
    publicUrl === undefined
      ? [
          'Choose a new password with this one-time token:',
          '',
          token,
          '',
          'It is taken by POST /api/v1/auth/password/reset with {"token": "…", "password": "…"}.',
        ]
      : // Behind a #, which browsers neither send to servers nor on to other sites.
        ['Choose a new password here:', '', `${publicUrl.replace(/\/+$/, '')}/reset#${token}`];
  return [
    `Hello ${username},`,
    '',
    'somebody, most likely you, has asked to reset the password of your account.',
    ...way,
    '',
    `It can be used once, in the next ${expiresInSeconds / 60} minutes. It ends every session of the account.`,
    'If it was not you, nothing needs to be done: your password stays as it is.',
    '',
  ].join('\n');
}
