import { HttpMethodEnum, koaBody } from 'koa-body';
import { AppError } from '../../domain/errors.ts';
import type { ApiContext } from './context.ts';

/**
 * Called by routes that take a body rather than mounted before all of them, as is usual: so a body is read only after its sender
 * was admitted, and from nobody who sends one where none is taken.
 */
const readJson = koaBody({
  json: true,
  jsonLimit: '1mb',
  // Any JSON: what is neither object nor list is for the schema to refuse.
  jsonStrict: false,
  jsonTypes: ['application/json'],
  text: false,
  urlencoded: false,
  multipart: false,
  // Routes say which of them takes a body, a deletion that needs a password among them.
  parsedMethods: [HttpMethodEnum.POST, HttpMethodEnum.PUT, HttpMethodEnum.PATCH, HttpMethodEnum.DELETE],
});

/**
 * Reads the request's JSON body, 1 MB at most. No body reads as `{}`, so that the answer names the fields that are missing.
 * @throws {AppError} 415 for anything that is not JSON; errors of the body reader (400, 413) pass through.
 */
export async function readBody(ctx: ApiContext): Promise<unknown> {
  const type = ctx.is('application/json');
  if (type === null || ctx.req.headers['content-length'] === '0') return {};
  if (type === false) {
    throw new AppError('The request body must be application/json', {
      code: 'unsupported_media_type',
      status: 415,
    });
  }
  await readJson(ctx, () => Promise.resolve());
  const body: unknown = ctx.request.body;
  // Of a chunked body nobody knows beforehand that it is empty.
  return body === '' ? {} : body;
}
