import { randomUUID } from 'node:crypto';
import type { Revocations } from './features/accounts/revocations.ts';
import type { Config } from './platform/config/load-config.ts';
import type { Logger } from './platform/observability/logger.ts';
import type { Shutdown } from './platform/observability/shutdown.ts';
import type { Pipeline } from './pipeline.ts';
import { createClientStreams, type ClientStreams } from './features/admin/client-streams.ts';
import type { JobEventReader } from './features/jobs/job-event-reader.ts';
import { createPriceHub, type PriceHub } from './features/quotes/price-hub.ts';
import { StreamRegistry } from './platform/realtime/stream-registry.ts';

/** The streams of the API process, wired. A composition root like the pipeline. */
export interface Streaming {
  readonly streams: ClientStreams;
  readonly hub: PriceHub;
  readonly registry: StreamRegistry;
}

interface StreamingRequest {
  readonly config: Config;
  readonly log: Logger;
  readonly shutdown: Shutdown;
  readonly pipeline: Pipeline;
  readonly reader: JobEventReader;
  readonly revocations: Revocations;
}

/** Builds the streams. Nothing is waited for. */
export function buildStreaming(request: StreamingRequest): Streaming {
  const { config, log, shutdown, pipeline, reader, revocations } = request;
  const { clock, jobs } = pipeline;
  const registry = new StreamRegistry({
    clock,
    limits: {
      perUser: config.STREAMS_PER_USER,
      perAddress: config.STREAMS_PER_ADDRESS,
      inAll: config.STREAMS_PER_PROCESS,
    },
    isRevoked: (viewer) => revocations.covers(viewer),
  });
  revocations.onRevoked(() => registry.endRevoked());
  const hub = buildHub(request);
  const findEnded = (ids: readonly string[]) => jobs.findEnded(ids);
  const streams = createClientStreams({ registry, hub, reader, clock, log, findEnded });
  shutdown.add('accept', 'streams', () => streams.drain());
  return { streams, hub, registry };
}

function buildHub({ config, log, shutdown, pipeline }: StreamingRequest): PriceHub {
  const { mirror, store, ticks, clock, demand, kick } = pipeline;
  const hub = createPriceHub({
    epoch: randomUUID().slice(0, 8),
    ticks,
    clock,
    log,
    freshMs: config.QUOTE_FRESH_SECONDS * 1000,
    renewAfterMs: Math.min(config.STREAM_RENEW_SECONDS, config.QUOTE_FRESH_SECONDS) * 1000,
    quotes: {
      get: (currency, assetId) => mirror.get(currency, assetId),
      failure: (currency, assetId, now) => mirror.failure(currency, assetId, now),
      async load(currency, assetIds) {
        const absent = assetIds.filter((id) => mirror.get(currency, id) === undefined);
        if (absent.length === 0) return;
        for (const { quote, failure } of await store.readMany(currency, absent)) {
          if (quote !== undefined) mirror.put(quote);
          if (failure !== undefined) mirror.putFailure(currency, failure);
        }
      },
    },
    async want(wish) {
      const { settled } = await demand.want(wish);
      if (settled.length < wish.assetIds.length) await kick.quotes(wish.currency, 'stream');
    },
  });
  shutdown.add('queues', 'price hub', () => hub.close());
  return hub;
}
