/** Imports in a process that is killed with -9 at some moment: nothing has happened, and the next run does all of it, once. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { expect } from 'chai';
import { projectRoot } from '../../../embedded/project-root.ts';
import { openImports, type ImportBench, type ImportReported } from '../../support/import-run.ts';

const rows = 5_000;

function report(): string {
  const day = Date.UTC(2021, 0, 1);
  const lines = ['txid,refid,time,type,subtype,aclass,asset,amount,fee,balance'];
  for (let n = 0; n < rows; n++) {
    const time = new Date(day + n * 1_000).toISOString().slice(0, 19).replace('T', ' ');
    lines.push(`L${n},R${n},${time},deposit,,currency,XXBT,0.01,0,0`);
  }
  return `${lines.join('\n')}\n`;
}

describe('an import that is killed', () => {
  let bench: ImportBench;
  before(async () => {
    bench = await openImports();
    await bench.closes('bitcoin', 'usd', { '2021-01-01': 30_000 });
  });
  after(() => bench.close());

  // Early while it reads, while it judges or writes, and just before its commit.
  for (const percent of [20, 71, 98]) {
    it(`at ${percent} per cent has brought nothing, and the next run brings it once`, async function () {
      this.timeout(60_000);
      const portfolio = await bench.portfolio();
      const importId = await bench.upload(portfolio, report());
      const child = spawn(
        process.execPath,
        ['--import', 'tsx', `${projectRoot}/test/support/stand-in-import.ts`],
        {
          env: {
            ...process.env,
            IMPORT_DATABASE: bench.databaseUrl,
            IMPORT_PLACE: `${portfolio.id}/${importId}`,
            IMPORT_DIES_AT: String(percent),
          },
          stdio: ['ignore', 'inherit', 'inherit'],
        },
      );
      const [code, signal] = (await once(child, 'exit')) as [number | null, string | null];
      expect([code, signal]).to.deep.equal([null, 'SIGKILL']);
      const count = async (table: string): Promise<number> => {
        const { rows: found } = await bench.knex.raw<{ rows: [{ n: number }] }>(
          `select count(*) as n from ${table} where portfolio_id = ?`,
          [portfolio.id],
        );
        return found[0].n;
      };
      for (const table of ['transactions', 'postings', 'transaction_changes'])
        expect(await count(table), table).to.equal(0);
      expect((await bench.imports.find(importId, portfolio.id))?.settledAt).to.equal(null);

      const { state, resultJson } = await bench.run(portfolio, importId);
      expect(state).to.equal('completed');
      expect(JSON.parse(resultJson!) as ImportReported).to.include({ added: rows, duplicates: 0 });
      expect(await count('transactions')).to.equal(rows);
      expect(await count('postings')).to.equal(rows);
    });
  }
});
