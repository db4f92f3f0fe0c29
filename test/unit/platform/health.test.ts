import { expect } from 'chai';
import { createHealth } from '../../../src/platform/observability/health.ts';
import { silentLogger } from '../../../src/platform/observability/logger.ts';

describe('health', () => {
  const log = silentLogger();

  function healthOf(check: () => Promise<string | undefined>) {
    const clock = { time: 0, now: () => clock.time };
    let runs = 0;
    const counted = () => {
      runs += 1;
      return check();
    };
    const health = createHealth({ checks: [{ name: 'part', check: counted }], clock, log });
    return { clock, health, runs: () => runs };
  }

  it('is ready when every check passes, and shows their words', async () => {
    const { health } = healthOf(() => Promise.resolve('all well'));
    expect(await health.ready()).to.deep.equal({
      ok: true,
      checks: { part: { ok: true, detail: 'all well' } },
    });
  });

  it('keeps the answer for half a second', async () => {
    const { health, clock, runs } = healthOf(() => Promise.resolve(undefined));
    await Promise.all([health.ready(), health.ready()]);
    clock.time = 499;
    await health.ready();
    expect(runs()).to.equal(1);
    clock.time = 500;
    await health.ready();
    expect(runs()).to.equal(2);
  });

  it('calls a check that throws at once, rejects or never answers a failure', async () => {
    const broken = healthOf(() => {
      throw new Error('no');
    });
    expect((await broken.health.ready()).checks).to.deep.equal({ part: { ok: false, detail: 'failed' } });
    const rejecting = healthOf(() => Promise.reject(new Error('secret host')));
    expect((await rejecting.health.ready()).checks).to.deep.equal({ part: { ok: false, detail: 'failed' } });
    const hanging = healthOf(() => new Promise(() => undefined));
    expect((await hanging.health.ready()).checks).to.deep.equal({ part: { ok: false, detail: 'timed out' } });
  });

  it('is not ready any more once it was retired', async () => {
    const { health } = healthOf(() => Promise.resolve(undefined));
    await health.ready();
    health.retire();
    expect((await health.ready()).ok).to.equal(false);
  });
});
