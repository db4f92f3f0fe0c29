import type { ApiContext } from '../context.ts';

const jsonType = 'application/json; charset=utf-8';

interface Answer {
  /** 200 when absent. */
  readonly status?: number;
  readonly message: string;
  readonly data: unknown;
}

/** Answers with the envelope of `/api/v1`. */
export function answer(ctx: ApiContext, { status = 200, message, data }: Answer): void {
  answerJson(ctx, status, JSON.stringify({ success: true, message, data }));
}

/** The envelope around data that is JSON text already, so that large results are never parsed to be sent on. */
export function envelopeOf(message: string, dataJson: string): string {
  return `{"success":true,"message":${JSON.stringify(message)},"data":${dataJson}}`;
}

/** Answers with JSON text as it is. */
export function answerJson(ctx: ApiContext, status: number, json: string): void {
  ctx.status = status;
  ctx.res.setHeader('Content-Type', jsonType);
  ctx.body = json;
}
