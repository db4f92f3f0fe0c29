/** A thousand equal requests at once, over two API processes. */
import { apiClient, newUser } from '../test/support/api-client.ts';
import { runBench } from './support/bench.ts';
import { fetchBulk } from './support/bulk.ts';
import { madeUp, ms, percentile } from './support/figures.ts';

const requests = 1_000;
const coins = madeUp(1, 20);

await runBench(`${requests} identical requests at once`, async (bench) => {
  const stack = await bench.stack({ apis: 2, workers: 1, market: { latencyMs: 150 } });
  const user = await newUser(stack.apis[0]?.url ?? '');
  const clients = stack.apis.map(({ url }) => apiClient(url, user.token));
  const startedAt = performance.now();
  const outcomes = await Promise.all(
    Array.from({ length: requests }, (_, index) => fetchBulk(clients[index % clients.length] ?? user, coins)),
  );
  const elapsed = outcomes.map(({ elapsedMs }) => elapsedMs);
  const whole = outcomes.filter(({ usable }) => usable === coins.length).length;
  const answers = new Set(outcomes.map(({ portfolio }) => portfolio)).size;
  const calls = stack.market.callCount();
  return [
    { what: 'calls', result: String(calls), requested: '1 (Go server: 1,000)', kept: calls === 1 },
    {
      what: 'answered with every price',
      result: String(whole),
      requested: String(requests),
      kept: whole === requests,
    },
    { what: 'distinct answers', result: String(answers), requested: '1', kept: answers === 1 },
    { what: 'all answered after', result: ms(performance.now() - startedAt) },
    {
      what: 'client waits p50 / p99',
      result: `${ms(percentile(elapsed, 0.5))} / ${ms(percentile(elapsed, 0.99))}`,
    },
  ];
});
