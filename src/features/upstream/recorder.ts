/**
 * Records every request to a provider with its response, as a file each, and plays them back. A user can attach a recording to
 * a bug report, and a test needs no network. Keys are removed before anything is written.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { readdir, rename, unlink, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { z } from 'zod';
import { messageOf } from '../../domain/errors.ts';
import { makeFolder } from '../../platform/make-folder.ts';
import type { Logger } from '../../platform/observability/logger.ts';
import { ProviderRejectedError } from './provider-errors.ts';
import type { HttpResponse, HttpGet, HttpGetOptions, OpenHttp } from './http-get.ts';

const recordingSchema = z.object({
  version: z.literal(1),
  provider: z.string(),
  /** When the response was complete (ISO 8601). */
  at: z.string(),
  request: z.object({ url: z.string(), headers: z.record(z.string(), z.string()) }),
  response: z.object({
    status: z.int(),
    headers: z.record(z.string(), z.union([z.string(), z.array(z.string())])),
    body: z.string(),
  }),
});

/** A request for which nothing was recorded. */
export class NotRecordedError extends ProviderRejectedError {}

/** Headers and parameters that carry a key. */
const secretName = /key|token|secret|auth|cookie|signature/i;
const redacted = '[key]';
const fileName = /^\d{13}-\d{6}-\d+-[a-z]+\.json$/;

/**
 * A transport that records all traffic. A file that cannot be written is only logged.
 * @throws {Error} when the folder cannot be created.
 */
export function recordingHttp(
  open: OpenHttp,
  options: {
    readonly dir: string;
    readonly log: Logger;
    /** Values that must never be written. */
    readonly secrets: readonly string[];
    /** Most files that are kept; the oldest are deleted. Default 1,000. */
    readonly keep?: number;
  },
): OpenHttp {
  const { dir, log, secrets, keep = 1_000 } = options;
  makeFolder(dir);
  const clean = cleanerOf(secrets);
  let count = 0;
  const record = async (request: HttpGetOptions, url: string, answer: HttpResponse): Promise<void> => {
    const now = Date.now();
    count += 1;
    const name = `${now}-${String(count).padStart(6, '0')}-${process.pid}-${request.provider}.json`;
    const recording = recordingOf({
      provider: request.provider,
      at: now,
      url,
      sent: request.headers,
      answer,
      clean,
    });
    // Renamed when complete, so that a reader never sees half a file.
    const draft = join(dir, `.${name}.draft`);
    await writeFile(draft, `${JSON.stringify(recording, undefined, 2)}\n`, { mode: 0o600 });
    await rename(draft, join(dir, name));
    if (count % 20 === 0) await dropOldest(dir, keep);
  };
  return (request) => {
    const http = open(request);
    const get: HttpGet['get'] = async (url, signal) => {
      const answer = await http.get(url, signal);
      await record(request, url, answer).catch((error: unknown) =>
        log.warn(
          { reason: messageOf(error) },
          'a provider response was not written to HTTP_RECORD_DIR (is it writable, is the disk full?); it was used normally',
        ),
      );
      return answer;
    };
    return { get, close: () => http.close() };
  };
}

async function dropOldest(dir: string, keep: number): Promise<void> {
  const names = (await readdir(dir)).filter((name) => fileName.test(name)).sort();
  for (const name of names.slice(0, Math.max(0, names.length - keep))) {
    // Another process may have deleted it.
    await unlink(join(dir, name)).catch(() => undefined);
  }
}

function recordingOf({
  provider,
  at,
  url,
  sent,
  answer,
  clean,
}: {
  readonly provider: string;
  readonly at: number;
  readonly url: string;
  readonly sent: Readonly<Record<string, string>>;
  readonly answer: HttpResponse;
  readonly clean: (text: string) => string;
}): z.infer<typeof recordingSchema> {
  const received = Object.entries(answer.headers).filter(
    (entry): entry is [string, string | string[]] => entry[1] !== undefined,
  );
  return {
    version: 1,
    provider,
    at: new Date(at).toISOString(),
    request: { url: clean(withoutSecrets(url)), headers: headersWithout(Object.entries(sent), clean) },
    response: {
      status: answer.status,
      headers: headersWithout(received, clean),
      body: clean(answer.text),
    },
  };
}

function headersWithout<V extends string | string[]>(
  headers: readonly (readonly [string, V])[],
  clean: (text: string) => string,
): Record<string, V> {
  return Object.fromEntries(
    headers.map(([name, value]) => {
      const shown = typeof value === 'string' ? clean(value) : value.map(clean);
      return [name, secretName.test(name) ? redacted : shown];
    }),
  ) as Record<string, V>;
}

/** The URL with every parameter that may be a key masked, including those from the caller. */
function withoutSecrets(url: string): string {
  return url.replaceAll(/([?&])([^=&#]+)=([^&#]*)/g, (whole, mark: string, name: string) =>
    secretName.test(name) ? `${mark}${name}=${redacted}` : whole,
  );
}

/** Removes secrets from a text, also in the forms they have in a URL or in JSON. */
function cleanerOf(secrets: readonly string[]): (text: string) => string {
  const forms = secrets.flatMap((secret) => [
    secret,
    encodeURIComponent(secret),
    JSON.stringify(secret).slice(1, -1),
  ]);
  const wanted = [...new Set(forms)].filter((form) => form !== '');
  return (text) => wanted.reduce((cleaned, form) => cleaned.replaceAll(form, redacted), text);
}

/** A recorded exchange, reduced to what playing it back needs. */
export interface Recording {
  readonly provider: string;
  readonly url: string;
  readonly answer: HttpResponse;
}

/**
 * Reads a folder of recorded exchanges, the oldest first.
 * @throws {Error} when it cannot be read, has none, or one of its files is not valid (with the file's name).
 */
export function readRecordings(dir: string): readonly Recording[] {
  const names = readdirSync(dir)
    .filter((name) => name.endsWith('.json') && !name.startsWith('.'))
    .sort();
  if (names.length === 0)
    throw new Error(
      `There are no recorded exchanges in ${dir} (HTTP_REPLAY_DIR); record some with HTTP_RECORD_DIR first`,
    );
  return names.map((name) => {
    try {
      const { provider, request, response } = recordingSchema.parse(
        JSON.parse(readFileSync(join(dir, name), 'utf8')),
      );
      const { status, headers, body } = response;
      return { provider, url: request.url, answer: { status, headers, text: body } };
    } catch (error) {
      throw new Error(`${basename(name)} is not a recorded exchange`, { cause: error });
    }
  });
}

/**
 * A transport without a network: it returns the responses that were recorded for the same path and parameters, in the order in
 * which they were recorded, and then repeats the last one. The order of parameters does not matter, nor that of ids. A request
 * that was not recorded is refused with a {@link NotRecordedError}.
 */
export function recordedHttp(recordings: readonly Recording[]): OpenHttp {
  const byKey = new Map<string, { readonly answers: HttpResponse[]; next: number }>();
  for (const { url, answer } of recordings) {
    const key = keyOf(url);
    const known = byKey.get(key) ?? { answers: [], next: 0 };
    known.answers.push(answer);
    byKey.set(key, known);
  }
  return ({ provider }) => ({
    get: (url, signal) => {
      if (signal.aborted) return Promise.reject(signal.reason as Error);
      const known = byKey.get(keyOf(url));
      const answer = known?.answers[Math.min(known.next, known.answers.length - 1)];
      if (known === undefined || answer === undefined) {
        const { pathname } = new URL(url);
        const message = `No exchange was recorded for GET ${pathname} with these parameters`;
        return Promise.reject(new NotRecordedError(message, { provider }));
      }
      known.next += 1;
      return Promise.resolve(answer);
    },
    close: () => Promise.resolve(),
  });
}

/** The path below its version, since a recording may come from another root; lists in parameters are sorted. */
function keyOf(url: string): string {
  const { pathname, searchParams } = new URL(url);
  const parameters = [...searchParams]
    .filter(([name]) => !secretName.test(name))
    .map(([name, value]) => `${name}=${value.split(',').sort().join(',')}`)
    .sort();
  const path = pathname.replace(/\/$/, '').replace(/^.*?\/(?=(?:api\/v3|v[123]|prices|chart)(?:\/|$))/, '/');
  return `${path.replace(/coingecko:[^/]+/, (names) => names.split(',').sort().join(','))}?${parameters.join('&')}`;
}
