/** A process that runs one import as a worker would, and tells what it took. */
import { openDatabase } from '../db/connection.ts';
import { createPortfolioQueries } from '../src/features/portfolios/queries/portfolios.ts';
import { importsOn } from '../test/support/import-run.ts';

const [portfolioId = '', importId = ''] = (process.env.IMPORT_PLACE ?? '').split('/');
const knex = openDatabase({
  database: { connectionString: process.env.IMPORT_DATABASE ?? '', ssl: false },
  poolSize: 4,
});
const portfolio = await createPortfolioQueries(knex).find(portfolioId);
if (portfolio === undefined) throw new Error('there is no such portfolio');
const bench = importsOn(knex, { userId: portfolio.userId });

let longestMs = 0;
let last = performance.now();
const poll = setInterval(() => {
  const now = performance.now();
  longestMs = Math.max(longestMs, now - last - 10);
  last = now;
}, 10);
const idleRss = process.memoryUsage.rss();
const startedAt = performance.now();
const { state, resultJson, error } = await bench.run(portfolio, importId);
const tookMs = performance.now() - startedAt;
clearInterval(poll);
const result = JSON.parse(resultJson ?? '{}') as object;
const peakRss = process.resourceUsage().maxRSS * 1024;
process.send?.({ state, error, result, tookMs, longestMs, idleRss, peakRss, cpu: process.cpuUsage() }, () =>
  process.exit(0),
);
