import { expect } from 'chai';
import type { Asset } from '../../../src/domain/asset.ts';
import {
  createAssetDirectory,
  type LiveAssetDirectory,
} from '../../../src/features/assets/asset-directory.ts';
import type { AssetQueries } from '../../../src/features/assets/queries/assets.ts';
import { silentLogger } from '../../../src/platform/observability/logger.ts';
import { waitFor } from '../../support/wait-for.ts';

interface PlacedAsset {
  readonly asset: Asset;
  readonly position: number;
}

/** Postgres as the directory sees it. */
class FakeSource implements Pick<AssetQueries, 'version' | 'page'> {
  held: PlacedAsset[] = [];
  current = 0;
  isDown = false;
  pages = 0;

  put(symbols: readonly string[]): void {
    this.current++;
    this.held = symbols.map((symbol, n) => {
      const id = `${symbol.toLowerCase()}-${String(n).padStart(6, '0')}`;
      const asset = { id, symbol, name: symbol, rank: n + 1, image: null, active: true, platformsJson: '{}' };
      return { asset, position: symbols.length - n };
    });
  }

  version(): Promise<number> {
    return this.isDown ? Promise.reject(new Error('down')) : Promise.resolve(this.current);
  }

  page(after: string, limit: number): Promise<readonly PlacedAsset[]> {
    this.pages++;
    const sorted = this.held.toSorted((a, b) => (a.asset.id < b.asset.id ? -1 : 1));
    return Promise.resolve(sorted.filter(({ asset }) => asset.id > after).slice(0, limit));
  }
}

describe('the directory of assets', () => {
  let source: FakeSource;
  let directory: LiveAssetDirectory;
  let tell: () => void;

  beforeEach(() => (source = new FakeSource()));
  afterEach(() => directory.close());

  function open(): void {
    const channel = {
      listen(onChange: () => void) {
        tell = onChange;
        return () => undefined;
      },
    };
    directory = createAssetDirectory({ source, channel, log: silentLogger() });
  }

  it('says that it knows nothing before the first list, and knows it when it is told', async () => {
    open();
    await directory.whenRead(1_000);
    expect(directory.isKnown()).to.equal(false);
    expect(directory.bySymbols(['btc'], 'top')).to.deep.equal([{ requested: 'btc', assets: [] }]);
    source.put(['BTC']);
    tell();
    await waitFor(() => directory.isKnown(), { what: 'the list' });
    expect(directory.bySymbol('btc')).to.have.length(1);
  });

  it('reads a list of many pages whole, in its order, and again only when it has changed', async () => {
    source.put(Array.from({ length: 6_000 }, (_, n) => `s${n}`));
    open();
    await directory.whenRead(5_000);
    expect(directory.size()).to.equal(6_000);
    expect(directory.listed('active')[0]).to.include({ symbol: 's5999' });
    const { pages } = source;
    const held = directory.listed('active');
    tell();
    await directory.whenRead(1_000);
    source.put(['other']);
    tell();
    await waitFor(() => directory.size() === 1, { what: 'the other list' });
    expect(source.pages).to.equal(pages + 1);
    expect(held).to.have.length(6_000);
  });

  it('keeps what it has while Postgres is away, and goes on when it is back', async () => {
    source.put(['one']);
    open();
    await directory.whenRead(1_000);
    source.isDown = true;
    tell();
    await Promise.resolve();
    expect(directory.bySymbol('one')).to.have.length(1);
    source.put(['two']);
    source.isDown = false;
    await waitFor(
      () => {
        tell();
        return directory.bySymbol('two').length === 1;
      },
      { what: 'the list after the outage' },
    );
  });

  it('takes the largest of a symbol or all of them', async () => {
    source.put(['dup', 'DUP', 'single']);
    open();
    await directory.whenRead(1_000);
    const idsOf = (include: 'top' | 'all') =>
      directory.bySymbols(['Dup', 'single', 'none'], include).map(({ assets }) => assets.map(({ id }) => id));
    expect(idsOf('top')).to.deep.equal([['dup-000000'], ['single-000002'], []]);
    expect(idsOf('all')).to.deep.equal([['dup-000000', 'dup-000001'], ['single-000002'], []]);
    expect(directory.byNames(['SINGLE'], 'top')[0]?.assets).to.have.length(1);
  });
});
