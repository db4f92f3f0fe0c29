import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { openHistoryStore, type HistoryStore } from '../../support/history.ts';
import { runCommand } from '../../support/run-command.ts';

const fixture = new URL('../../fixtures/exports/odd-usd.csv', import.meta.url).pathname;

describe('the command that imports history', () => {
  let store: HistoryStore;
  before(async () => {
    store = await openHistoryStore();
  });
  after(() => store.close());

  const command = (...args: string[]) =>
    runCommand({
      script: 'src/commands/import-history.ts',
      args,
      environment: { ...process.env, APP_ENV: 'test', DATABASE_URL: store.databaseUrl },
      input: '',
    });
  const assets = () => store.knex('candles').distinct('asset_id').orderBy('asset_id').pluck('asset_id');

  it('wants to know whose history it is, where nobody can', async () => {
    const { code, said } = await command(fixture);
    expect(code).to.equal(1);
    expect(said).to.contain('--asset odd=<asset id>');
    expect(await assets()).to.deep.equal([]);
  });

  it('takes the largest asset of a symbol, says which, and that a second time changes nothing', async () => {
    const row = { symbol: 'ODD', name: 'Odd', position: 1 };
    await store.knex('assets').insert([
      { ...row, asset_id: 'oddity', rank: 900 },
      { ...row, asset_id: 'odd-coin', rank: 7, position: 2 },
    ]);
    await store.knex('asset_list').update({ version: 1 });
    const first = await command(fixture);
    expect(first.said).to.contain('odd-usd.csv: odd-coin in usd, daily, 13 lines, 8 with a price: 7 new');
    expect(first.said).to.contain('the largest of 2 assets; others: oddity');
    expect(first.said).to.contain('line 7: out of order');
    expect(first.code).to.equal(0);
    const second = await command(fixture, fixture);
    expect(second.said.match(/no change: all rows were already stored/g)).to.have.length(2);
    expect(await assets()).to.deep.equal(['odd-coin']);
  });

  it('says that a file with nothing but a header has no rows', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'pricepool-import-'));
    const path = join(dir, 'btc-usd.csv');
    await writeFile(path, 'snapped_at,price,market_cap,total_volume\n');
    const { code, said } = await command(path, '--asset', 'bitcoin');
    await rm(dir, { recursive: true });
    expect(code).to.equal(0);
    expect(said).to.contain('no rows').and.not.contain('all rows were already stored');
  });

  it('names a few of the others where many have the symbol, and takes a currency in any case', async () => {
    const others = Array.from({ length: 7 }, (_, n) => ({
      asset_id: `many-${n}`,
      symbol: 'many',
      name: `Many ${n}`,
      position: 10 + n,
      rank: 100 + n,
    }));
    await store.knex('assets').insert(others);
    await store.knex('asset_list').update({ version: 5 });
    const dir = await mkdtemp(join(tmpdir(), 'pricepool-import-'));
    const path = join(dir, 'many-usd.csv');
    await writeFile(path, 'snapped_at,price,market_cap,total_volume\n');
    const { code, said } = await command(path, '--currency', 'EUR');
    await rm(dir, { recursive: true });
    await store.knex('assets').where({ symbol: 'many' }).delete();
    expect(code).to.equal(0);
    expect(said).to.contain('many-0 in eur');
    expect(said).to.contain('the largest of 7 assets; others: many-1, many-2, many-3, many-4, many-5. If');
  });

  it('wants a file, and the currency of one whose name does not tell it', async () => {
    const none = await command();
    expect([none.code, none.said]).to.deep.equal([
      1,
      'The import stopped: no file given: npm run import:history -- FILE… [--asset <symbol>=<asset id>]… [--asset <asset id>] [--currency <code>]\n',
    ]);
    const odd = await command('/nowhere/prices.csv', '--asset', 'bitcoin');
    expect([odd.code, odd.said]).to.deep.equal([
      1,
      'The import stopped: /nowhere/prices.csv is not named <symbol>-<currency>.csv; pass --asset and --currency\n',
    ]);
  });

  it('takes an asset that it is told, and refuses what makes no sense', async () => {
    expect((await command(fixture, '--asset', 'odd=terra-luna')).said).to.contain('terra-luna in usd');
    expect((await command(fixture, fixture, '--asset', 'bitcoin')).said).to.contain('for a single file');
    expect((await command(fixture, '--asset', 'bitcoin', '--currency', 'zzz')).said).to.contain('zzz is not');
    expect((await command('/nowhere/btc-usd.csv', '--asset', 'bitcoin')).said).to.contain('ENOENT');
    expect(await assets()).to.deep.equal(['odd-coin', 'terra-luna']);
  });

  it('takes an id with capitals as it is listed, and others in whatever case', async () => {
    await store
      .knex('assets')
      .insert({ asset_id: 'MixedCase-Coin', symbol: 'mix', name: 'Mixed', position: 3 });
    await store.knex('asset_list').update({ version: 2 });
    expect((await command(fixture, '--asset', 'MixedCase-Coin')).said).to.contain('MixedCase-Coin in usd');
    expect((await command(fixture, '--asset', 'ODD=MixedCase-Coin')).said).to.contain('no change');
    expect((await command(fixture, '--asset', 'Terra-Luna')).said).to.contain('terra-luna in usd');
    expect(await assets()).to.have.members(['MixedCase-Coin', 'odd-coin', 'terra-luna']);
  });
});
