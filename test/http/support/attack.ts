/** What attackers work with: accounts to attack and to attack from, tokens to forge, and requests that no client library sends. */
import { createHash, createHmac } from 'node:crypto';
import { once } from 'node:events';
import { connect } from 'node:net';
import jwt from 'jsonwebtoken';
import { v7 as uuidv7 } from 'uuid';
import type { AccessApi } from './access.ts';
import { testSecret } from './stand-in-access.ts';

// eslint-disable-next-line @typescript-eslint/no-explicit-any -- answers of every shape are looked into
export type Body = any;

/** An answer, read to its end. */
export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  /** Parsed text; undefined when it is no JSON. */
  readonly body: Body;
}

/** Somebody who has an account and has logged in. */
export interface Person {
  readonly id: string;
  readonly name: string;
  readonly email: string;
  readonly token: string;
  readonly refreshToken: string;
}

interface AskOptions {
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

/** The password of every {@link Person}. */
export const password = 'correct horse 1';

type Target = Pick<AccessApi, 'call'>;

/** Requests to the `/api/v1` of one process with a token; empty for none. */
export function as(api: Target, token: string) {
  return async (method: string, path: string, { body, headers = {} }: AskOptions = {}): Promise<Answer> => {
    const given = body === undefined ? {} : { body };
    const authorization = token === '' ? '' : `Bearer ${token}`;
    const response = await api.call(method, `/api/v1${path}`, {
      headers: { authorization, ...headers },
      ...given,
    });
    const text = await response.text();
    return { status: response.status, headers: response.headers, text, body: parsed(text) };
  };
}

function parsed(text: string): Body {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Makes an account and a session. Names are new each time, so that no throttle is shared. */
export async function newPerson(api: AccessApi, prefix: string, role: 'user' | 'admin' = 'user') {
  const name = `${prefix}-${uuidv7().slice(-12)}`;
  const email = `${name}@example.com`;
  const { users, passwords } = api.access;
  const account = await users.insert(
    { username: name, email, passwordHash: await passwords.hash(password), role },
    {},
  );
  const { token, refreshToken } = await api.openSession(account);
  return { id: account.id, name, email, token, refreshToken } satisfies Person;
}

/** Makes an API key and returns its secret. */
export async function newKey(
  api: AccessApi,
  token: string,
  request: { readonly scopes: readonly string[]; readonly daily_quota?: number },
): Promise<{ readonly id: string; readonly key: string }> {
  const made = await as(api, token)('POST', '/api-keys', { body: { name: 'a key', ...request } });
  if (made.status !== 201) throw new Error(`the key was refused: ${made.text}`);
  return made.body.data;
}

/** The name that a secret has in the header of tokens. */
export function kidOf(secret: string): string {
  return createHash('sha256').update(`pricepool-kid:${secret}`).digest('hex').slice(0, 12);
}

/** Claims of a good token of this person, with whatever is different about it. */
export function claimsOf(person: Pick<Person, 'id' | 'token'>, different: object = {}): object {
  const now = Math.floor(Date.now() / 1000);
  const { sid } = jwt.decode(person.token) as jwt.JwtPayload;
  const claims = { sub: person.id, role: 'user', gen: 0, sid, use: 'access', iss: 'pricepool' };
  return { ...claims, iat: now, exp: now + 600, ...different };
}

/** Signs as the server does, unless told otherwise. */
export function sign(claims: object, options: jwt.SignOptions = {}, secret: jwt.Secret = testSecret): string {
  return jwt.sign(claims, secret, { keyid: kidOf(testSecret), ...options });
}

/** A token of any header and any payload, signed by HMAC-SHA256 with the real secret: what a library would not make. */
export function signAnything(header: unknown, payload: unknown, secret = testSecret): string {
  const part = (value: unknown): string =>
    Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');
  const text = `${part(header)}.${part(payload)}`;
  return `${text}.${createHmac('sha256', secret).update(text).digest('base64url')}`;
}

/** The header of good tokens. */
export const goodHeader = { alg: 'HS256', typ: 'JWT', kid: kidOf(testSecret) };

/** Sends bytes as they are, and returns all that comes until the server or half a second of silence ends the connection. */
export async function sendRaw(port: number, bytes: string | Buffer): Promise<string> {
  const socket = connect(port, '127.0.0.1');
  let text = '';
  socket.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')));
  // A connection that is cut while it is written to ends with an error; what came before it counts.
  socket.on('error', () => undefined);
  socket.setTimeout(500, () => socket.destroy());
  socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes);
  await once(socket, 'close');
  return text;
}

/** Status of an answer that {@link sendRaw} returned; 0 when there was none. */
export function statusOf(text: string): number {
  return Number(/^HTTP\/1\.1 (\d{3}) /.exec(text)?.[1] ?? 0);
}
