/**
 * Whose a portfolio is, at every route below one: the real desks over a real database. The routes are those of the route
 * table, so that a new one is asked too.
 */
import { expect } from 'chai';
import { v7 as uuidv7 } from 'uuid';
import { createBookReading } from '../../src/features/portfolios/queries/book-reading.ts';
import { createExportQueries } from '../../src/features/portfolios/queries/exports.ts';
import { createImportQueries } from '../../src/features/portfolios/queries/imports.ts';
import { createPortfolioQueries } from '../../src/features/portfolios/queries/portfolios.ts';
import { directoryOver } from '../../src/features/assets/asset-directory.ts';
import { createAssetIndex } from '../../src/features/assets/asset-index.ts';
import { silentLogger } from '../../src/platform/observability/logger.ts';
import { createBooksWatch } from '../../src/features/portfolios/books-watch.ts';
import { createValuations } from '../../src/features/portfolios/valuation/valuation-service.ts';
import { openImports, type ImportBench } from '../support/import-run.ts';
import { as, type Answer } from './support/attack.ts';
import { startApi, type TestApi } from './support/ports.ts';
import { realPortfolios } from './support/real-portfolios.ts';

const purchase = {
  type: 'buy',
  executed_at: '2024-01-31T09:30:00Z',
  received: { asset: 'bitcoin', quantity: '1' },
  value: '42000',
};
const root = '/api/v1/portfolios/:id';
/** What routes take; others take nothing. */
const bodies: Readonly<Record<string, object>> = {
  [`PATCH ${root}`]: { name: 'other' },
  [`PUT ${root}`]: { name: 'other' },
  [`POST ${root}/transactions`]: purchase,
  [`POST ${root}/transactions/bulk`]: { transactions: [purchase] },
  [`PUT ${root}/transactions/:tid`]: purchase,
  [`POST ${root}/rebuild`]: {},
  [`POST ${root}/performance`]: {},
};

interface Route {
  readonly method: string;
  readonly path: string;
}

/** Ids that stand for the parameters of paths. */
interface Place {
  readonly portfolio: string;
  readonly transaction: string;
  readonly importId: string;
}

describe('a portfolio', () => {
  let bench: ImportBench;
  let api: TestApi;
  let owner: string;
  let place: Place;
  const watched = createBooksWatch({
    channel: { listen: () => () => undefined },
    versions: () => Promise.resolve(new Map()),
    log: silentLogger(),
  });

  before(async () => {
    bench = await openImports();
    const { knex } = bench;
    const assets = directoryOver(() => createAssetIndex([]));
    const services = realPortfolios({ config: { PORTFOLIO_TRANSACTION_LIMIT: 100 }, knex, assets });
    const valuations = createValuations({
      portfolios: createBookReading(knex),
      reader: services.books,
      quotes: () => Promise.resolve(new Map()),
      watch: watched,
      quotesWaitMs: 50,
      booksWaitMs: 5_000,
    });
    api = await startApi({
      ...services,
      valuations,
      valueHistory: {
        daily: () => Promise.reject(new Error('the history of this portfolio was read')),
      },
      imports: createImportQueries(knex),
      exports: createExportQueries(knex),
    });
    owner = await newUser();
    place = await filled(owner);
  });
  after(async () => {
    await api.close(0);
    watched.close();
    await bench.close();
  });

  async function newUser(): Promise<string> {
    const id = uuidv7();
    const name = `u${id.slice(-12)}`;
    await bench
      .knex('users')
      .insert({ id, username: name, email: `${name}@example.com`, password_hash: 'x' });
    return id;
  }

  const tokenOf = (userId: string, role: 'user' | 'admin' = 'user'): string =>
    api.deps.tokens.issue({ userId, generation: 0, sessionId: userId, role });

  /** A portfolio of a user with a transaction and an import. */
  async function filled(userId: string): Promise<Place> {
    const fields = { name: 'mine', baseCurrency: 'usd', method: 'fifo', timeZone: 'UTC' } as const;
    const { id: portfolio } = await createPortfolioQueries(bench.knex).insert(userId, fields, 100);
    const made = await as(api, tokenOf(userId))('POST', `/portfolios/${portfolio}/transactions`, {
      body: purchase,
    });
    expect(made.status, made.text).to.equal(201);
    const importId = uuidv7();
    const imports = createImportQueries(bench.knex);
    await imports.open({ id: importId, portfolioId: portfolio, userId });
    await imports.complete(importId, {
      ...{ format: 'kraken', onError: 'skip', isDryRun: false, mappingJson: null, symbolsJson: '{}' },
      ...{ fileName: null, encoding: 'utf-8', bytes: 1, sha256: 'ab' },
    });
    return { portfolio, transaction: made.body.data.id as string, importId };
  }

  async function ask(token: string, { method, path }: Route, at: Place): Promise<Answer> {
    const body = bodies[`${method} ${path}`];
    const filledIn = path
      .replace('/api/v1', '')
      .replace(':id', at.portfolio)
      .replace(':tid', at.transaction)
      .replace(':importId', at.importId);
    expect(filledIn).to.not.include(':');
    return await as(api, token)(method, filledIn, {
      headers: { 'if-match': '*', prefer: 'wait=0' },
      ...(body === undefined ? {} : { body }),
    });
  }

  const below = (): Route[] => api.routes.filter(({ path }) => path.startsWith(root));

  for (const role of ['user', 'admin'] as const) {
    it(`is not there for another ${role}, at any route`, async () => {
      const token = tokenOf(await newUser(), role);
      expect(below().length).to.be.greaterThan(20);
      for (const route of below()) {
        const { status, body, text } = await ask(token, route, place);
        const reported = `${route.method} ${route.path}: ${text}`;
        expect([status, body?.error?.code], reported).to.deep.equal([404, 'portfolio_not_found']);
      }
      expect(api.clientJobs.submitted, 'jobs').to.deep.equal([]);
      expect(api.streams.opened, 'streams').to.deep.equal([]);
    });
  }

  it('lends what is in it to no other portfolio', async () => {
    const stranger = await newUser();
    const own = await filled(stranger);
    const through = { ...place, portfolio: own.portfolio };
    const inner = below().filter(({ path }) => /:tid|:importId/.test(path));
    expect(inner.length).to.be.greaterThan(3);
    for (const route of inner) {
      const { status, body, text } = await ask(tokenOf(stranger), route, through);
      expect(status, `${route.method} ${route.path}: ${text}`).to.equal(404);
      expect(body?.error?.code).to.be.oneOf(['transaction_not_found', 'import_not_found', 'not_found']);
    }
    for (const path of [`${root}/transactions`, `${root}/imports`, `${root}/changes`, `${root}/export`]) {
      const answer = await ask(tokenOf(stranger), { method: 'GET', path }, own);
      expect(answer.status).to.equal(200);
      for (const id of [place.transaction, place.importId]) expect(answer.text, path).to.not.include(id);
    }
    const listed = await as(api, tokenOf(stranger))('GET', '/portfolios');
    expect(listed.body.data.data.map(({ id }: { id: string }) => id)).to.deep.equal([own.portfolio]);
  });

  it('is there for its owner, at every route that reads, and is as it was', async () => {
    const reads = below().filter(({ method, path }) => method === 'GET' && !path.endsWith('/history'));
    for (const route of reads) {
      const { status, text } = await ask(tokenOf(owner), route, place);
      expect(status, `${route.path}: ${text}`).to.be.oneOf([200, 202]);
    }
    const { body } = await ask(tokenOf(owner), { method: 'GET', path: root }, place);
    expect(body.data).to.include({ name: 'mine', version: 1 });
  });
});
