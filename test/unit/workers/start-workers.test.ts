import { expect } from 'chai';
import type { QueueName } from '../../../jobs/registry.ts';
import { createShutdown } from '../../../src/platform/observability/shutdown.ts';
import { silentLogger } from '../../../src/platform/observability/logger.ts';
import { createJobsProcessors } from '../../../workers/processors/jobs/module.ts';
import type { ProcessorsOf, WorkerModule } from '../../../workers/runtime/processor.ts';
import { startWorkers } from '../../../workers/runtime/start-workers.ts';
import { recordingLogger } from '../../support/recording-logger.ts';

const mails = {
  processors: { mail: () => ({ 'password-reset.mail': () => Promise.resolve({ sent: true }) }) },
};

/** A module of every job, for what compiles. */
declare const every: {
  readonly processors: {
    readonly [Q in QueueName]: () => ProcessorsOf<Q>;
  };
};

/** A process that serves some queues; nothing of it is connected. */
function platformOf(...queues: QueueName[]): Parameters<typeof startWorkers>[0] {
  const log = silentLogger();
  const handle = () => ({ upsertJobScheduler: () => Promise.resolve() });
  return {
    config: { WORKER_QUEUES: queues, WORKER_CONCURRENCY: 1 },
    log,
    clock: { leadMs: () => undefined, onPoll: () => () => undefined },
    shutdown: createShutdown(log),
    queues: { handle },
    keys: { queues: 'test' },
  } as unknown as Parameters<typeof startWorkers>[0];
}

describe('the start of workers', () => {
  it('fails when a job of a queue that is served has no processor, or has two', () => {
    const none = { processors: { mail: () => ({}) } };
    const elsewhere = {
      processors: { mail: () => ({ 'books.check': () => Promise.resolve({ added: 0 }) }) },
    };
    for (const module of [none, elsewhere])
      expect(() => startWorkers(platformOf('mail'), [module] as never)).to.throw('password-reset.mail');
    expect(() => startWorkers(platformOf('mail'), [mails, mails] as never)).to.throw('2 processors');
  });

  it('does not compile with modules that leave a job out, or have one that there is not', () => {
    const unknown = { processors: { mail: () => ({ 'no.such': () => Promise.resolve() }) } };
    const start = (): void => {
      // @ts-expect-error -- jobs of the other queues have no processor
      startWorkers(platformOf('mail'), [mails]);
      // @ts-expect-error -- there is no such job
      startWorkers(platformOf('mail'), [every, unknown]);
      startWorkers(platformOf('mail'), [every]);
    };
    expect(start).to.be.a('function');
  });

  it('opens what modules need where the queue is served, and nothing else', async () => {
    const opened: string[] = [];
    // Not served as configured: no worker starts, and nobody connects to Redis.
    const module: WorkerModule = {
      processors: {
        mail: () => void opened.push('mail'),
        refresh: () => void opened.push('refresh'),
        webhooks: () => void opened.push('webhooks'),
      },
    };
    const platform = platformOf('mail', 'webhooks');
    startWorkers(platform, [module] as never);
    await platform.shutdown.run('the test ends');
    expect(opened).to.deep.equal(['mail', 'webhooks']);
  });
});

describe('a worker whose clock is off', () => {
  const unserved = [{ processors: { mail: () => undefined } }] as never;

  /** A process whose clock is so much (ms) ahead of the fleet's. */
  function startAt(leadMs: number) {
    const { log, lines } = recordingLogger();
    const platform = platformOf('mail');
    const polled = new Set<() => void>();
    const clock = {
      leadMs: () => leadMs,
      onPoll: (listener: () => void) => {
        polled.add(listener);
        return () => polled.delete(listener);
      },
    };
    const renewed: string[] = [];
    const handle = () => ({
      upsertJobScheduler: (name: string) => Promise.resolve(void renewed.push(name)),
    });
    startWorkers({ ...platform, log, clock, queues: { handle } } as never, unserved);
    const errors = (): string[] =>
      lines.filter(({ level }) => level === 'error').map(({ message }) => message);
    return {
      lines,
      errors,
      polled,
      renewed,
      shutdown: platform.shutdown,
      setTo: (ms: number) => {
        leadMs = ms;
        for (const listener of polled) listener();
      },
    };
  }

  it('rests and says so once, and says once that it goes on', async () => {
    const worker = startAt(0);
    for (const ms of [30_000, 30_001, 40_000]) worker.setTo(ms);
    expect(worker.errors()).to.have.length(1);
    for (const ms of [-30_000, 0]) worker.setTo(ms);
    expect(worker.lines.filter(({ message }) => message.includes('right again'))).to.have.length(1);
    await worker.shutdown.run('the test ends');
  });

  it('rests from the start, whether it is ahead or behind, and plans nothing', async () => {
    for (const ms of [30_001, -30_001]) {
      const worker = startAt(ms);
      expect(worker.errors()[0], String(ms)).to.include('set the clock');
      await new Promise((resolve) => setImmediate(resolve));
      expect(worker.renewed).to.deep.equal([]);
      await worker.shutdown.run('the test ends');
    }
  });

  it('looks at the clock no more once the process ends', async () => {
    const worker = startAt(0);
    expect(worker.polled.size).to.equal(1);
    await worker.shutdown.run('the test ends');
    expect(worker.polled.size).to.equal(0);
  });
});

describe('client jobs that are not tried again', () => {
  const failed: unknown[] = [];
  const reported: unknown[] = [];
  const runs = {
    fail(...given: unknown[]) {
      failed.push(given);
      return Promise.resolve(['id']);
    },
  };
  const events = { append: (...given: unknown[]) => Promise.resolve(void reported.push(given)) };
  const { onFinalFailure } = createJobsProcessors(
    platformOf(),
    () => ({ runs, events, clock: { now: () => 1_000 } }) as never,
    [],
  );

  it('fail their rows, and say so when their process died of them', async () => {
    await onFinalFailure('bulk.fetch', { workKey: 'a' }, 'job stalled more than allowable limit');
    await onFinalFailure('books.rebuild', { workKey: 'b' }, 'out of luck');
    const at = new Date(1_000);
    expect(failed).to.deep.equal([
      [
        { workKey: 'a', startedAt: at },
        { code: 'job_failed', message: 'The job ended its worker process repeatedly' },
      ],
      [
        { workKey: 'b', startedAt: at },
        { code: 'job_failed', message: 'The job failed' },
      ],
    ]);
    expect(reported).to.have.length(2);
  });

  it('are those of clients alone', async () => {
    await onFinalFailure('quotes.refresh', { currency: 'usd' }, 'out of luck');
    expect(failed).to.have.length(2);
  });
});
