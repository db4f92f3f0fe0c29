import type { Config } from '../src/config/load-config.ts';
import type { Logger } from '../src/lib/logger.ts';
import type { Shutdown } from '../src/lib/shutdown.ts';
import type { Pipeline } from '../src/pipeline.ts';

/** What every part of a worker process is built of. */
export interface WorkerParts {
  readonly config: Config;
  readonly log: Logger;
  readonly shutdown: Shutdown;
  readonly pipeline: Pipeline;
}
