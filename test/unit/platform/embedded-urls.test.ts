import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import {
  removeEmbeddedUrls,
  usableDatabase,
  writeEmbeddedUrls,
} from '../../../src/platform/config/embedded-urls.ts';
import { loadConfig } from '../../../src/platform/config/load-config.ts';

const url = 'postgres://pricepool:secret@127.0.0.1:15000/pricepool';

describe('the file of embedded URLs', () => {
  let dataDir: string;
  beforeEach(() => {
    dataDir = mkdtempSync(join(tmpdir(), 'pricepool-urls-'));
  });
  afterEach(() => rmSync(dataDir, { recursive: true }));

  const found = (env: Record<string, string> = {}): ReturnType<typeof usableDatabase> =>
    usableDatabase(loadConfig({ PRICEPOOL_DATA_DIR: dataDir, ...env }));

  it('is for the owner only, and names the database to commands that have none', async () => {
    await writeEmbeddedUrls(dataDir, { database: 'postgres://an.older.run/pricepool' });
    await writeEmbeddedUrls(dataDir, { database: url });
    expect(readdirSync(dataDir)).to.deep.equal(['urls.json']);
    expect(statSync(join(dataDir, 'urls.json')).mode & 0o777).to.equal(0o600);
    expect(found().database).to.deep.equal({ connectionString: url, ssl: false });
    expect(found().hint).to.include(dataDir).and.include('npm start');
  });

  it('gives way to a configured database', async () => {
    await writeEmbeddedUrls(dataDir, { database: url });
    const configured = found({ DATABASE_URL: 'postgres://db/pricepool' });
    expect(configured).to.deep.equal({
      database: { connectionString: 'postgres://db/pricepool', ssl: false },
      hint: '',
    });
  });

  it('can be gone, without a database, or damaged: then there is none', async () => {
    const none = /^there is no database: set DATABASE_URL .*npm start/;
    expect(() => found()).to.throw(none);
    await writeEmbeddedUrls(dataDir, { redis: 'redis://127.0.0.1:1' });
    expect(() => found()).to.throw(none);
    writeFileSync(join(dataDir, 'urls.json'), '{"database":');
    expect(() => found()).to.throw(none);
    await removeEmbeddedUrls(dataDir);
    await removeEmbeddedUrls(dataDir);
    expect(readdirSync(dataDir)).to.deep.equal([]);
  });
});
