/** A process that runs one import and kills itself when so many per cent are done. */
import { openDatabase } from '../../db/connection.ts';
import { createPortfolioQueries } from '../../src/features/portfolios/queries/portfolios.ts';
import { importsOn } from './import-run.ts';

const [portfolioId = '', importId = ''] = (process.env.IMPORT_PLACE ?? '').split('/');
const percent = Number(process.env.IMPORT_DIES_AT);
const knex = openDatabase({
  database: { connectionString: process.env.IMPORT_DATABASE ?? '', ssl: false },
  poolSize: 4,
});
const portfolio = await createPortfolioQueries(knex).find(portfolioId);
if (portfolio === undefined) throw new Error('there is no such portfolio');
const bench = importsOn(knex, {
  userId: portfolio.userId,
  onPercent: (done) => {
    if (done >= percent) process.kill(process.pid, 'SIGKILL');
  },
});
await bench.run(portfolio, importId);
process.exit(0);
