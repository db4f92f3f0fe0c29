/**
 * Sends plain text by SMTP, one connection a mail. Every step has a deadline, and nothing in a mail can make the library read a
 * file or a URL.
 */
import { createTransport } from 'nodemailer';
import { withDeadline } from '../concurrency/deadline.ts';

const connectMs = 5_000;
const idleTimeoutMs = 10_000;
const sendMs = 30_000;

/** Builds the mailer; it connects when there is something to send. */
export function createMailer({
  url,
  from,
}: {
  /** `smtp://` or `smtps://`, with user and password where they are asked for. */
  readonly url: string;
  /** Sender, such as `Pricepool <no-reply@example.com>`. */
  readonly from: string;
}) {
  const transport = createTransport({
    url,
    dnsTimeout: connectMs,
    connectionTimeout: connectMs,
    greetingTimeout: connectMs,
    socketTimeout: idleTimeoutMs,
    disableFileAccess: true,
    disableUrlAccess: true,
  });
  return {
    /** Resolves when the server has taken the mail. @throws {Error} it has not, or not in time. */
    async send({
      to,
      subject,
      text,
    }: {
      /** One address, and nothing else: no name, no list. */
      readonly to: string;
      readonly subject: string;
      readonly text: string;
    }): Promise<void> {
      // As an object the address is one address; a text would be parsed as a list of them.
      const sending = transport.sendMail({ from, to: { name: '', address: to }, subject, text });
      sending.catch(() => undefined);
      await withDeadline(sending, sendMs, 'sending a mail');
    },
    close: (): void => transport.close(),
  };
}
