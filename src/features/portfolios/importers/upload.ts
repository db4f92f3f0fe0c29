/**
 * Stores an upload in chunks of equal size, one after the other, so that a request holds only one chunk in memory, however
 * large its file and however slow Postgres. Files that are not text or too large are refused while they arrive.
 */
import { HttpMethodEnum, koaBody } from 'koa-body';
import { createHash } from 'node:crypto';
import { Writable } from 'node:stream';
import { finished, pipeline } from 'node:stream/promises';
import { probeEncoding, type TextEncoding } from './text-encoding.ts';
import { AppError, type FieldProblem, ValidationError } from '../../../domain/errors.ts';
import type { ApiContext } from '../../../platform/http/context.ts';

/** Largest file (bytes). */
const maxUploadBytes = 20_000_000;
/** Size of a stored chunk (bytes); the last is smaller. */
const chunkBytes = 256 * 1024;

/** A stream to write an upload into. It fails when the file is not text, is too large, or `store` fails. */
export class UploadSink extends Writable {
  readonly #store: (number: number, bytes: Buffer) => Promise<void>;
  readonly #hash = createHash('sha256');
  readonly #probe = probeEncoding();
  #pending: Buffer[] = [];
  #pendingBytes = 0;
  #bytes = 0;
  #chunks = 0;

  /** `store` stores chunks, which are numbered from 0. */
  constructor(store: (number: number, bytes: Buffer) => Promise<void>) {
    super({ highWaterMark: chunkBytes });
    this.#store = store;
  }

  /**
   * What has arrived and is stored, after the stream has finished.
   * @throws {ValidationError} naming `file`: it is empty or not text.
   * @throws {Error} the error of the stream, or that it has not finished: then not everything is stored.
   */
  arrived(): { readonly bytes: number; readonly sha256: string; readonly encoding: TextEncoding } {
    if (!this.writableFinished) throw this.errored ?? new Error('the upload has not finished');
    if (this.#bytes === 0) throw noFile('is empty');
    const encoding = this.#probe.end();
    if (encoding === undefined) throw noFile('ends in the middle of a character');
    return { bytes: this.#bytes, sha256: this.#hash.digest('hex'), encoding };
  }

  override _write(bytes: Buffer, _encoding: string, done: (error?: Error) => void): void {
    this.#take(bytes).then(() => done(), done);
  }

  override _final(done: (error?: Error) => void): void {
    this.#flush().then(() => done(), done);
  }

  async #take(bytes: Buffer): Promise<void> {
    this.#bytes += bytes.length;
    if (this.#bytes > maxUploadBytes) throw tooLarge();
    const problem = this.#probe.add(bytes);
    if (problem !== undefined) throw noFile(problem);
    this.#hash.update(bytes);
    this.#pending.push(bytes);
    this.#pendingBytes += bytes.length;
    if (this.#pendingBytes >= chunkBytes) await this.#flush();
  }

  async #flush(): Promise<void> {
    const all = Buffer.concat(this.#pending);
    this.#pending = [];
    this.#pendingBytes = 0;
    for (let at = 0; at < all.length; at += chunkBytes) {
      await this.#store(this.#chunks, all.subarray(at, at + chunkBytes));
      this.#chunks += 1;
    }
  }
}

/** 422: the file cannot be imported. */
function noFile(message: string): ValidationError {
  return new ValidationError('The file cannot be imported', [{ field: 'file', message }]);
}

/** 413: the file is too large. */
function tooLarge(): AppError {
  const message = `is larger than ${maxUploadBytes / 1_000_000} MB`;
  return new AppError(`The file ${message}`, {
    code: 'file_too_large',
    status: 413,
    fields: [{ field: 'file', message }],
  });
}

/** The result of an upload besides the file itself. */
export interface Upload {
  /** Fields of the form; empty for a bare file. */
  readonly fields: Readonly<Record<string, unknown>>;
  /** The name given by the client, reduced to safe characters; null when there was none. */
  readonly fileName: string | null;
}

/** Field of the form that holds the file. */
const fileField = 'file';
const maxFields = 10;
/** All fields together (bytes). */
const maxFieldBytes = 64 * 1024;
/** A body may be longer than its file by this much (bytes). */
const formBytes = 256 * 1024;
const longestName = 100;
/** FormidableError: the client disconnected; too many fields; fields too long; too many files. */
const codes = { aborted: 1002, fieldBytes: 1006, fields: 1007, files: 1015 } as const;

/**
 * Reads an upload into a sink, which is ended when everything has arrived.
 * @throws {AppError} 413, 415 or 400; 422 naming the part that is wrong; and the errors of the sink.
 */
export async function readUpload(ctx: ApiContext, sink: Writable): Promise<Upload> {
  // The waiting writer handles the error; without a listener it would end the process.
  sink.on('error', () => undefined);
  if (Number(ctx.req.headers['content-length'] ?? 0) > maxUploadBytes + formBytes) throw tooLarge();
  const type = ctx.is('multipart/form-data', 'text/csv');
  if (type === 'multipart/form-data') return await readForm(ctx, sink);
  if (type === 'text/csv') return await readBare(ctx, sink);
  throw new AppError('The request body must be multipart/form-data or text/csv', {
    code: 'unsupported_media_type',
    status: 415,
  });
}

async function readBare(ctx: ApiContext, sink: Writable): Promise<Upload> {
  // Otherwise a refusal would destroy the request, and with it the way to answer it.
  await pipeline(ctx.req.iterator({ destroyOnReturn: false }), sink);
  return { fields: {}, fileName: null };
}

async function readForm(ctx: ApiContext, sink: Writable): Promise<Upload> {
  const problems: FieldProblem[] = [];
  let file: { readonly originalFilename: string | null } | undefined;
  const read = koaBody({
    multipart: true,
    json: false,
    text: false,
    urlencoded: false,
    parsedMethods: [HttpMethodEnum.POST],
    formidable: {
      maxFields: maxFields,
      maxFieldsSize: maxFieldBytes,
      maxFiles: 1,
      // The sink checks the size of the file and reports it.
      maxFileSize: Number.MAX_SAFE_INTEGER,
      allowEmptyFiles: true,
      minFileSize: 0,
      filter: ({ name }) => isFile(name, problems),
      fileWriteStreamHandler: () => sink,
      onFileBegin: (_name, each) => (file = each),
    },
  });
  try {
    await read(ctx, () => Promise.resolve());
  } catch (error) {
    throw refusalOf(error);
  }
  // The form parser treats a failed write as done, and reports the last one as done before it is.
  if (file !== undefined || sink.errored !== null) await finished(sink);
  const fields = (ctx.request.body ?? {}) as Record<string, unknown>;
  if (fileField in fields) throw noFile('must be sent as a file with a file name and a content type');
  if (problems.length > 0) throw new ValidationError('The request is not valid', problems);
  if (file === undefined) throw noFile('is required');
  return { fields, fileName: harmless(file.originalFilename) };
}

/** Skips a part that is not the expected file, and records the problem to be reported after the form was read. */
function isFile(name: string | null, problems: FieldProblem[]): boolean {
  if (name === fileField) return true;
  if (problems.length === 0)
    problems.push({
      field: (name ?? '').slice(0, longestName),
      message: 'must be a plain field, not a file',
    });
  return false;
}

function refusalOf(error: unknown): unknown {
  if (error instanceof AppError) return error;
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  if (code === codes.files) return noFile('must be one file');
  if (code === codes.fields || code === codes.fieldBytes) {
    const message = `Besides its file, the form may have ${maxFields} fields of ${maxFieldBytes / 1024} KB in total`;
    return new AppError(message, { code: 'body_too_large', status: 413 });
  }
  if (typeof code !== 'number') return error;
  const message = code === codes.aborted ? 'The upload was interrupted' : 'The form cannot be read';
  return new AppError(message, { code: 'malformed_request', status: 400, cause: error });
}

function harmless(name: string | null): string | null {
  const short = (name ?? '').replaceAll(/[^\p{L}\p{N}._() -]/gu, '_').slice(0, longestName);
  return short === '' ? null : short;
}
