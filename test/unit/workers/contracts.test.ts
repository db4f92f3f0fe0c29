/** What the contracts of jobs promise of all of them: that they end, that Redis does not fill up, and what their data may be. */
import { expect } from 'chai';
import { isClientJob, isPortfolioJob, registry, type JobName } from '../../../jobs/registry.ts';

const names = Object.keys(registry) as JobName[];

describe('the contracts of jobs', () => {
  it('name each job as it is registered, and leave a short trace of it in Redis', () => {
    for (const name of names) {
      const { name: own, options } = registry[name];
      expect(own).to.equal(name);
      expect(options.removeOnComplete, name).to.deep.equal({ age: 600, count: 1_000 });
      expect(options.removeOnFail, name).to.deep.equal({ age: 3_600, count: 5_000 });
    }
  });

  it('try those again that somebody waits for, with pauses that grow, and no periodic one', () => {
    const attempts = (name: JobName): number => registry[name].options.attempts ?? 1;
    for (const name of names) {
      const { every, queue, options } = registry[name];
      if (every !== undefined) expect([name, queue, attempts(name)]).to.deep.equal([name, 'maintenance', 1]);
      if (attempts(name) > 1) expect(options.backoff, name).to.have.property('jitter', 0.5);
      if (isClientJob(name)) expect(options.backoff, name).to.have.property('type', 'exponential');
    }
    const several = names.filter((name) => attempts(name) > 1);
    expect(Object.fromEntries(several.map((name) => [name, attempts(name)]))).to.deep.equal({
      'bulk.fetch': 5,
      'portfolio.fetch': 5,
      'quotes.refresh': 3,
      'markets.refresh': 3,
      'document.refresh': 2,
      'history.backfill': 3,
      'password-reset.mail': 5,
      'books.update': 5,
      'books.rebuild': 3,
      'performance.compute': 3,
      'transactions.import': 3,
      'portfolio.snapshot': 3,
    });
  });

  it('tell the jobs of clients, and those on portfolios, from all others', () => {
    expect(names.filter(isClientJob)).to.have.members([
      'bulk.fetch',
      'portfolio.fetch',
      'books.rebuild',
      'performance.compute',
      'transactions.import',
    ]);
    expect(names.filter(isPortfolioJob)).to.have.members([
      'books.rebuild',
      'performance.compute',
      'transactions.import',
    ]);
    for (const odd of ['toString', '', 'no.such']) expect(isClientJob(odd), odd).to.equal(false);
  });

  it('take data within their bounds alone', () => {
    const takes = (name: JobName, data: object): boolean => registry[name].schema.safeParse(data).success;
    const assets = (count: number): object => ({
      workKey: 'w',
      currency: 'usd',
      assets: Array.from({ length: count }, (_, n) => `coin-${n}`),
    });
    const holdings = (count: number): object => ({
      workKey: 'w',
      currency: 'usd',
      holdings: Array.from({ length: count }, () => ({ asset: 'bitcoin', quantity: '1' })),
    });
    expect([0, 1, 250, 251].map((n) => takes('bulk.fetch', assets(n)))).to.deep.equal([
      false,
      true,
      true,
      false,
    ]);
    expect([0, 10_000, 10_001].map((n) => takes('portfolio.fetch', holdings(n)))).to.deep.equal([
      false,
      true,
      false,
    ]);
    const path = (text: string): boolean => takes('document.refresh', { path: text, freshMs: 0 });
    expect(['/coins/x?a=b', 'coins', '/a b', '/\n', `/${'x'.repeat(8_192)}`].map(path)).to.deep.equal([
      true,
      false,
      false,
      false,
      false,
    ]);
    expect(
      [0, 1, 1_000, 1_001].map((page) => takes('markets.refresh', { currency: 'usd', page })),
    ).to.deep.equal([false, true, true, false]);
    expect(registry['markets.refresh'].schema.parse({ currency: ' USD ' })).to.deep.equal({
      currency: 'usd',
      page: 1,
      urgency: 'interactive',
    });
  });
});
