/**
 * For receivers of webhooks: checks that a request comes from Pricepool and is not an old one sent again. Webhooks are signed
 * according to the Standard Webhooks specification. A webhook may arrive more than once, so receivers should remember the ids
 * of the last days.
 */

/** The content of a webhook. */
export interface WebhookEvent<T = unknown> {
  /** Such as `job.completed`. */
  readonly type: string;
  /** When it happened, as ISO 8601. */
  readonly timestamp: string;
  readonly data: T;
}

/** Headers of a request: those of the Fetch API, or of `node:http` and what is built on it. */
export type ReceivedHeaders =
  { get(name: string): string | null } | Readonly<Record<string, string | readonly string[] | undefined>>;

/** The request is not a webhook that was signed with this secret recently. */
export class WebhookVerificationError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'WebhookVerificationError';
  }
}

const defaultTolerance = 300;
/** Signatures of one webhook that are looked at: there are as many as secrets hold at a time. */
const maxSignatures = 10;

/**
 * Verifies a request that may be a webhook and returns its content.
 * @param secret as `GET /api/v1/webhooks/secret` returns it: `whsec_…`.
 * @throws {WebhookVerificationError} it is not Pricepool's, too old, or not a webhook.
 */
export async function verifyWebhook<T = unknown>(
  {
    body,
    headers,
  }: {
    /** As it came, before anything has parsed it. */
    readonly body: string;
    readonly headers: ReceivedHeaders;
  },
  secret: string,
  {
    toleranceSeconds = defaultTolerance,
    now = Date.now,
  }: {
    /** Seconds that the webhook may be old, or by another clock young; 300 when absent. */
    readonly toleranceSeconds?: number;
    /** Milliseconds since the epoch; the machine's clock when absent. */
    readonly now?: () => number;
  } = {},
): Promise<WebhookEvent<T>> {
  const id = headerOf(headers, 'webhook-id');
  const timestamp = headerOf(headers, 'webhook-timestamp');
  if (!/^\d{1,12}$/.test(timestamp))
    throw new WebhookVerificationError('webhook-timestamp is not a Unix time');
  if (Math.abs(now() / 1000 - Number(timestamp)) > toleranceSeconds)
    throw new WebhookVerificationError('webhook-timestamp is too far from now');
  const signatures = headerOf(headers, 'webhook-signature').split(' ').slice(0, maxSignatures);
  const key = await importSecret(secret);
  const signed = new TextEncoder().encode(`${id}.${timestamp}.${body}`);
  const verdicts = await Promise.all(signatures.map((each) => isSignature(key, each, signed)));
  if (!verdicts.includes(true)) throw new WebhookVerificationError('no signature matches');
  return JSON.parse(body) as WebhookEvent<T>;
}

function headerOf(headers: ReceivedHeaders, name: string): string {
  const value =
    'get' in headers && typeof headers.get === 'function'
      ? headers.get(name)
      : (headers as Readonly<Record<string, string | readonly string[] | undefined>>)[name];
  if (typeof value !== 'string' || value === '')
    throw new WebhookVerificationError(`the header ${name} is missing`);
  return value;
}

async function importSecret(secret: string) {
  const bytes = bytesOf(secret.replace(/^whsec_/, ''));
  if (bytes === undefined || bytes.length === 0)
    throw new WebhookVerificationError('the secret must be whsec_ followed by base64');
  return await crypto.subtle.importKey('raw', bytes, { name: 'HMAC', hash: 'SHA-256' }, false, ['verify']);
}

/** Compares in constant time. */
async function isSignature(
  key: Awaited<ReturnType<typeof importSecret>>,
  text: string,
  signed: Uint8Array<ArrayBuffer>,
): Promise<boolean> {
  const [version, encoded = ''] = text.split(',');
  const bytes = version === 'v1' ? bytesOf(encoded) : undefined;
  return bytes !== undefined && (await crypto.subtle.verify('HMAC', key, bytes, signed));
}

function bytesOf(base64: string): Uint8Array<ArrayBuffer> | undefined {
  try {
    return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  } catch {
    return undefined;
  }
}
