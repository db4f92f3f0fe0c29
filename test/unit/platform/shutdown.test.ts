import { expect } from 'chai';
import { silentLogger } from '../../../src/platform/observability/logger.ts';
import { createShutdown, shutdownPhases } from '../../../src/platform/observability/shutdown.ts';

describe('shutdown', () => {
  it('closes phase by phase, whatever the order of registration', async () => {
    const shutdown = createShutdown(silentLogger());
    const closed: string[] = [];
    shutdown.add('clients', 'redis', () => void closed.push('redis'));
    shutdown.add('announce', 'readiness', () => void closed.push('readiness'));
    shutdown.add('work', 'worker', async () => {
      await Promise.resolve();
      closed.push('worker');
    });
    await shutdown.run('test');
    expect(closed).to.deep.equal(['readiness', 'worker', 'redis']);
  });

  it('closes threads, queues and streams before the stores that they use, and takes no new work in before all', async () => {
    const shutdown = createShutdown(silentLogger());
    const closed: string[] = [];
    for (const phase of shutdownPhases.toReversed())
      shutdown.add(phase, phase, async () => {
        await new Promise((resolve) => setImmediate(resolve));
        closed.push(phase);
      });
    await shutdown.run('test');
    expect(closed).to.deep.equal(['announce', 'accept', 'work', 'streams', 'queues', 'threads', 'clients']);
  });

  it('goes on when a step fails or hangs, and runs once', async () => {
    const shutdown = createShutdown(silentLogger(), 10);
    let closed = 0;
    shutdown.add('work', 'failing', () => Promise.reject(new Error('no')));
    shutdown.add('work', 'hanging', () => new Promise(() => undefined));
    shutdown.add('clients', 'redis', () => {
      closed++;
    });
    await Promise.all([shutdown.run('first'), shutdown.run('second')]);
    expect(closed).to.equal(1);
  });
});
