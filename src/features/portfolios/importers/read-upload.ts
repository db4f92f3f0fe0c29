/**
 * Reads the body of an upload: one file, streamed into a sink as it comes, and some short fields beside it. Nothing touches
 * the disk, and nothing but the fields is held in memory.
 */
import type { Writable } from 'node:stream';
import { HttpMethodEnum, koaBody } from 'koa-body';
import { AppError, ValidationError, type FieldProblem } from '../../../domain/errors.ts';
import { mostUploadBytes, noFile, tooLarge } from './upload-sink.ts';
import type { ApiContext } from '../../../platform/http/context.ts';

/** What came with a file. */
export interface Upload {
  /** Fields of the form; none of a bare file. */
  readonly fields: Readonly<Record<string, unknown>>;
  /** As the client named it, in harmless characters; null when it did not. */
  readonly fileName: string | null;
}

/** Field of the form that holds the file. */
const fileField = 'file';
const mostFields = 10;
/** All fields together (bytes). */
const mostFieldBytes = 64 * 1024;
/** A body may be so much longer (bytes) than its file. */
const formBytes = 256 * 1024;
const longestName = 100;
/** FormidableError: the client went away; too many fields; too long ones; too many files. */
const codes = { aborted: 1002, fieldBytes: 1006, fields: 1007, files: 1015 } as const;

/**
 * Reads an upload into a sink, which is ended when all of it has come.
 * @throws {AppError} 413, 415 or 400; 422 naming the part that is wrong; and what the sink fails with.
 */
export async function readUpload(ctx: ApiContext, sink: Writable): Promise<Upload> {
  // Whoever waits for a write hears of it; without a listener it would end the process.
  sink.on('error', () => undefined);
  if (Number(ctx.req.headers['content-length'] ?? 0) > mostUploadBytes + formBytes) throw tooLarge();
  const type = ctx.is('multipart/form-data', 'text/csv');
  if (type === 'multipart/form-data') return await readForm(ctx, sink);
  if (type === 'text/csv') return await readBare(ctx, sink);
  throw new AppError('The request body must be multipart/form-data or text/csv', {
    code: 'unsupported_media_type',
    status: 415,
  });
}

async function readBare(ctx: ApiContext, sink: Writable): Promise<Upload> {
  // Else a refusal would destroy the request, and with it the way to answer it.
  for await (const chunk of ctx.req.iterator({ destroyOnReturn: false })) {
    await new Promise<void>((resolve, reject) => {
      sink.write(chunk, (error) => (error ? reject(error) : resolve()));
    });
  }
  await new Promise<void>((resolve, reject) => {
    sink.once('error', reject);
    sink.end(resolve);
  });
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
      maxFields: mostFields,
      maxFieldsSize: mostFieldBytes,
      maxFiles: 1,
      // The sink knows the size of the file, and what to say of it.
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
  // The reader of forms takes a write that failed for one that was done.
  if (sink.errored !== null) throw sink.errored;
  const fields = (ctx.request.body ?? {}) as Record<string, unknown>;
  if (fileField in fields) throw noFile('must be sent as a file, with a file name and a content type');
  if (problems.length > 0) throw new ValidationError('The request breaks a rule', problems);
  if (file === undefined) throw noFile('is required');
  return { fields, fileName: harmless(file.originalFilename) };
}

/** What is no file of ours is passed over, and told when the form was read. */
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
    const message = `The form may have ${mostFields} fields of ${mostFieldBytes / 1024} KB in all beside its file`;
    return new AppError(message, { code: 'body_too_large', status: 413 });
  }
  if (typeof code !== 'number') return error;
  const message = code === codes.aborted ? 'The upload broke off' : 'The form cannot be read';
  return new AppError(message, { code: 'malformed_request', status: 400, cause: error });
}

function harmless(name: string | null): string | null {
  const short = (name ?? '').replaceAll(/[^\p{L}\p{N}._() -]/gu, '_').slice(0, longestName);
  return short === '' ? null : short;
}
