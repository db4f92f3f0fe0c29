import { expect } from 'chai';
import { Redis } from 'ioredis';
import { createBudgets } from '../../../src/features/upstream/upstream-service.ts';
import { loadConfig } from '../../../src/platform/config/load-config.ts';
import { silentLogger } from '../../../src/platform/observability/logger.ts';
import type { BudgetCallLog } from '../../../src/features/upstream/budget/redis-budget.ts';
import { createRedisKeys } from '../../../src/platform/redis/keys.ts';

describe('budgets', () => {
  const redis = new Redis({ lazyConnect: true });
  after(() => redis.disconnect());
  const budgetsOf = (environment: Record<string, string>) => {
    const config = loadConfig(environment);
    const platform = { config, redis, log: silentLogger(), keys: createRedisKeys('p') };
    const of = createBudgets(platform, {} as BudgetCallLog);
    return { of, primary: of(config.PROVIDER ?? 'simulated') };
  };

  it('are one for each provider and key, and tell no key', () => {
    const secret = 'CG-very-secret';
    const environment = { PROVIDER: 'coingecko', COINGECKO_PLAN: 'demo', COINGECKO_API_KEY: secret };
    const budgets = budgetsOf({ ...environment, COINMARKETCAP_API_KEY: 'cmc-secret' });
    expect(budgets.of('coingecko')).to.equal(budgets.primary);
    const keys = (['coingecko', 'coinmarketcap', 'defillama'] as const).map((name) => budgets.of(name).key);
    expect(new Set(keys).size).to.equal(3);
    expect(keys.join()).to.not.contain('secret');
    expect(budgetsOf({ ...environment, COINGECKO_API_KEY: 'CG-other' }).primary.key).to.not.equal(keys[0]);
    expect(
      budgetsOf({ ...environment, COINMARKETCAP_API_KEY: 'other' }).of('coinmarketcap').key,
    ).to.not.equal(keys[1]);
    expect(budgetsOf(environment).primary.key).to.equal(keys[0]);
  });

  it('are paid from by whoever is asked, not by whoever is first', () => {
    const budgets = budgetsOf({ PROVIDER: 'coinmarketcap', COINMARKETCAP_API_KEY: 'cmc' });
    expect(budgets.primary).to.equal(budgets.of('coinmarketcap'));
    expect(budgets.of('coingecko')).to.not.equal(budgets.primary);
    const market = budgetsOf({ PROVIDER: 'simulated' });
    expect(market.of('coingecko')).to.equal(market.primary);
  });
});
