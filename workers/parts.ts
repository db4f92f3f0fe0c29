import type { Config } from '../src/platform/config/load-config.ts';
import type { Logger } from '../src/platform/observability/logger.ts';
import type { Shutdown } from '../src/platform/observability/shutdown.ts';
import type { Pipeline } from '../src/pipeline.ts';
import type { ClientRunDeps } from './processors/jobs/client-run.ts';
import type { Threads } from './threads/threads.ts';

/** What every part of a worker process is built of. */
export interface WorkerParts {
  readonly config: Config;
  readonly log: Logger;
  readonly shutdown: Shutdown;
  readonly pipeline: Pipeline;
  readonly threads: Threads;
  /** What runs for clients stand on, opened at the first call. */
  readonly clientRuns: () => ClientRunDeps;
}
