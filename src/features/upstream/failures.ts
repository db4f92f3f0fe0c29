/**
 * Records why calls to a price source fail, for operators: a log line, the last failure of each source, and a count by cause.
 */
import { z } from 'zod';
import type { Redis } from 'ioredis';
import type { SourceFailure } from '../../domain/budget-state.ts';
import { messageOf } from '../../domain/errors.ts';
import type { Clock } from '../../platform/concurrency/clock.ts';
import type { Logger } from '../../platform/observability/logger.ts';
import type { RedisKeys } from '../../platform/redis/keys.ts';
import { startStopwatch, type Stopwatch } from './call-signal.ts';
import { wasNeverSent } from './outcome.ts';
import {
  ProviderConnectionError,
  ProviderError,
  ProviderKeyError,
  ProviderNotFoundError,
  ProviderRangeError,
  ProviderRateLimitError,
  ProviderRejectedError,
  ProviderResponseError,
  ProviderTimeoutError,
  ProviderUrlTooLongError,
} from './provider-errors.ts';

type FailureCause = SourceFailure['cause'];

const failureSchema = z.object({
  at: z.number(),
  cause: z.enum([
    'dns',
    'connection',
    'tls',
    'proxy',
    'timeout',
    'rate_limited',
    'key',
    'rejected',
    'server_error',
    'bad_response',
  ]),
  code: z.string().nullable(),
  host: z.string().nullable(),
  status: z.number().nullable(),
  said: z.string().nullable(),
}) satisfies z.ZodType<SourceFailure>;

/** The same failure is logged once in this time (ms), then with the number of times it happened in between. */
const logEveryMs = 60_000;
/** The last failure of a source is shown for this time (ms). */
const keptMs = 86_400_000;

const dnsCode = /^(?:ENOTFOUND|EAI_\w+|EDNS|ENODATA|ESERVFAIL)$/;
const tlsCode =
  /^(?:ERR_TLS_|ERR_SSL_|CERT_|EPROTO$|DEPTH_ZERO_|SELF_SIGNED_|UNABLE_TO_(?:GET|VERIFY)_)|_CERT_|CERT$/;

/**
 * The cause of a failed call; undefined when the provider did not fail: nothing was sent, or it answered that the asset does
 * not exist.
 */
export function causeOf(error: unknown): FailureCause | undefined {
  if (!(error instanceof ProviderError) || wasNeverSent(error)) return undefined;
  if (error instanceof ProviderNotFoundError || error instanceof ProviderRangeError) return undefined;
  if (error instanceof ProviderRateLimitError) return 'rate_limited';
  if (error instanceof ProviderKeyError || error.providerStatus === 401) return 'key';
  if (error instanceof ProviderRejectedError || error instanceof ProviderUrlTooLongError) return 'rejected';
  if (error instanceof ProviderResponseError) return 'bad_response';
  if (error instanceof ProviderTimeoutError) return 'timeout';
  if (error instanceof ProviderConnectionError && error.providerStatus !== undefined) return 'server_error';
  const { code = '' } = error.evidence;
  if (dnsCode.test(code)) return 'dns';
  if (tlsCode.test(code)) return 'tls';
  return code.startsWith('PROXY_') ? 'proxy' : 'connection';
}

/** What an operator can check, by cause. */
const hints: Readonly<Record<FailureCause, string>> = {
  dns: 'the name of its host cannot be resolved; check DNS and the base URL',
  connection: 'no connection; check the network, firewall and base URL',
  tls: 'its certificate is not accepted; check the clock of this machine and its CA certificates',
  proxy: 'the proxy refuses the connection; check HTTPS_PROXY',
  timeout: 'no answer in time; retried, check the network if it lasts',
  rate_limited:
    'it reports too many calls; check that the plan setting matches the API key and nothing else uses the key',
  key: 'it rejects the API key; check the key and the plan setting',
  rejected: 'it rejects the request; see `status` and `said` (its own words)',
  server_error: 'it has an error of its own; retried, check its status page if it lasts',
  bad_response: 'its answer cannot be used; see `said` (its own words), check that the base URL is right',
};

/** Records the failures of a source. `note` returns what was recorded, if anything; it never rejects and does not wait. */
export function createFailureNotes({
  redis,
  keys,
  clock,
  log,
  name,
}: {
  readonly redis: Redis;
  readonly keys: Pick<RedisKeys, 'upstreamFailures' | 'lastFailure'>;
  readonly clock: Clock;
  readonly log: Logger;
  /** Name of the source. */
  readonly name: string;
}) {
  const logged = new Map<string, { readonly since: Stopwatch; more: number }>();
  const say = (failure: SourceFailure): void => {
    const { cause, code, host, status, said } = failure;
    const kind = `${failure.cause} ${failure.code} ${failure.status}`;
    const last = logged.get(kind);
    if (last !== undefined && last.since.elapsedMs() < logEveryMs) {
      last.more += 1;
      return;
    }
    logged.set(kind, { since: startStopwatch(), more: 0 });
    log.warn(
      { provider: name, cause, code, host, status, said, ...(last?.more ? { repeated: last.more } : {}) },
      `calls to the price source fail (${cause}): ${hints[cause]}`,
    );
  };
  return {
    note(error: unknown): SourceFailure | undefined {
      const cause = causeOf(error);
      if (cause === undefined || !(error instanceof ProviderError)) return undefined;
      const { code = null, host = null, said = null } = error.evidence;
      const failure = { at: clock.now(), cause, code, host, status: error.providerStatus ?? null, said };
      say(failure);
      redis
        .pipeline()
        .hincrby(keys.upstreamFailures, cause, 1)
        .set(keys.lastFailure(name), JSON.stringify(failure), 'PX', keptMs)
        .exec()
        .catch((problem: unknown) => {
          log.debug({ reason: messageOf(problem) }, 'a failed upstream call was not recorded');
        });
      return failure;
    },
  };
}

/** The last failure of a source; null when there was none within a day. Rejects when Redis does not answer. */
export async function readLastFailure(redis: Redis, key: string): Promise<SourceFailure | null> {
  const text = await redis.get(key);
  if (text === null) return null;
  return failureSchema.safeParse(JSON.parse(text)).data ?? null;
}
