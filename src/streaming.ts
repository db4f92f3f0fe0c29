import type { AccountService } from './features/accounts/account-service.ts';
import type { Config } from './platform/config/load-config.ts';
import type { Logger } from './platform/observability/logger.ts';
import type { Shutdown } from './platform/observability/shutdown.ts';
import type { Pipeline } from './pipeline.ts';
import { jobFollowedBy, seeJobs } from './features/jobs/job-rights.ts';
import type { createJobService } from './features/jobs/job-service.ts';
import { createJobStreams } from './features/jobs/job-streams.ts';
import { createPortfolioStreams } from './features/portfolios/portfolio-stream.ts';
import { createPriceStreams } from './features/quotes/price-streams.ts';
import { allowed } from './platform/http/admission.ts';
import { createRealtime } from './platform/realtime/realtime.ts';

/** The streams of the API process, wired. A composition root like the pipeline. */
interface StreamingRequest {
  readonly config: Config;
  readonly log: Logger;
  readonly shutdown: Shutdown;
  readonly pipeline: Pipeline;
  readonly access: Pick<AccountService, 'revocations' | 'tokens'>;
  readonly jobs: ReturnType<typeof createJobService>;
}

/** Builds the streams. Nothing is waited for. */
export function buildStreaming(request: StreamingRequest) {
  const { log, shutdown, pipeline, access, jobs } = request;
  const { desk, reader } = jobs;
  const { revocations, tokens } = access;
  const { clock } = pipeline;
  const realtime = createRealtime(pipeline, {
    isRevoked: (viewer) => revocations.covers(viewer),
    issueTicket: (viewer) => ({
      ticket: tokens.issueTicket(viewer),
      expiresInSeconds: tokens.ticketExpiresInSeconds,
    }),
  });
  revocations.onRevoked(() => realtime.registry.endRevoked());
  const hub = pipeline.quotes.openHub();
  const jobStreams = createJobStreams({
    realtime,
    reader,
    clock,
    log,
    findEnded: (ids) => jobs.jobs.findEnded(ids),
    async findJob(viewer, id) {
      allowed(viewer, { access: 'user', scope: seeJobs });
      return await jobFollowedBy(viewer, desk, id);
    },
  });
  shutdown.add('accept', 'rows of followed jobs', () => jobStreams.close());
  const priceStreams = createPriceStreams({ realtime, hub, clock });
  const portfolioStreams = createPortfolioStreams({ realtime, prices: priceStreams, hub, clock, log });
  return { realtime, hub, jobStreams, priceStreams, portfolioStreams };
}
