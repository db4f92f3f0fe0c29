import type { IncomingMessage, ServerResponse } from 'node:http';
import { z } from 'zod';
import { faultKinds, type CallRecord, type RequestDeps } from './market-state.ts';

/**
 * The market's control calls, for benches and fault tests that run it in another process. They are outside the API, are
 * not counted, limited or subject to faults, and are reachable from this machine only, as the whole market is.
 */

const faultKind = z.enum(faultKinds);
const faultRequest = z.strictObject({
  fault: z.union([
    faultKind,
    z.strictObject({
      kind: faultKind,
      status: z.int().min(200).max(599).optional(),
      retryAfterSeconds: z.number().min(0).optional(),
      intervalMs: z.number().min(1).optional(),
      bytes: z.int().min(0).optional(),
      code: z.int().min(1).optional(),
    }),
  ]),
  /** Null: until cleared, as JSON has no infinity. */
  count: z.int().min(1).nullable().optional(),
  path: z.string().startsWith('/').optional(),
});
const milliseconds = z.number().min(0).max(600_000);
const settingsRequest = z.strictObject({
  latencyMs: z.union([milliseconds, z.strictObject({ min: milliseconds, max: milliseconds })]).optional(),
  /** Null: no limit. */
  callsPerMinute: z.int().min(0).nullable().optional(),
  monthlyCredits: z.int().min(0).optional(),
});
const longestBody = 65_536;

/** What `GET /__market/calls` answers. */
export interface CallReport {
  readonly total: number;
  readonly rejected: number;
  readonly worstSlidingMinute: number;
  readonly calls: readonly CallRecord[];
}

/** Answers a call below `/__market/`. Never rejects. */
export async function respondToControl(
  deps: RequestDeps,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const reply = (status: number, body: unknown): void => {
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
  };
  try {
    const action = `${request.method ?? ''} ${request.url ?? ''}`;
    const result = act(deps, action, await readJson(request));
    if (result === undefined) reply(404, { error: `unknown control call: ${action}` });
    else reply(200, result);
  } catch (error) {
    reply(400, { error: error instanceof Error ? error.message : String(error) });
  }
}

function act({ log, faults, settings, source }: RequestDeps, action: string, body: unknown): unknown {
  switch (action) {
    case 'POST /__market/faults': {
      const { fault, count, path } = faultRequest.parse(body);
      faults.inject(withoutUndefined(fault), {
        count: count === null ? Infinity : (count ?? 1),
        ...(path && { path }),
      });
      return { ok: true };
    }
    case 'DELETE /__market/faults':
      faults.clear();
      return { ok: true };
    case 'GET /__market/calls':
      return {
        total: log.total(),
        rejected: log.rejected(),
        worstSlidingMinute: log.worstSlidingMinute(),
        calls: log.calls(),
      } satisfies CallReport;
    case 'DELETE /__market/calls':
      log.reset();
      return { ok: true };
    case 'PUT /__market/settings': {
      const changed = settingsRequest.parse(body);
      if (changed.latencyMs !== undefined) settings.latencyMs = changed.latencyMs;
      if (changed.callsPerMinute !== undefined) settings.callsPerMinute = changed.callsPerMinute ?? undefined;
      if (changed.monthlyCredits !== undefined) settings.monthlyCredits = changed.monthlyCredits;
      return { ok: true };
    }
    case 'GET /__market/status':
      return {
        kind: source.kind,
        now: new Date(source.now()).toISOString(),
        latencyMs: settings.latencyMs,
        callsPerMinute: settings.callsPerMinute ?? null,
      };
    default:
      return undefined;
  }
}

function withoutUndefined<T>(value: T) {
  return JSON.parse(JSON.stringify(value)) as { [K in keyof T]: Exclude<T[K], undefined> };
}

async function readJson(request: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > longestBody) throw new Error(`a control body has at most ${longestBody} bytes`);
    chunks.push(chunk);
  }
  return size === 0 ? undefined : (JSON.parse(Buffer.concat(chunks).toString()) as unknown);
}
