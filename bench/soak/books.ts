/** Portfolios: transactions under ids of the client's own, sent until they are answered, and a report to import now and then. */
import type { Row } from '../support/bench.ts';
import {
  anyOf,
  chance,
  dataOf,
  insist,
  newId,
  none,
  pause,
  repeat,
  type Part,
  type Soak,
  type User,
} from './clients.ts';

const writers = 3;
const portfoliosEach = 2;
const rowsOfReport = 200;
const importEveryMs = 12_000;
const firstReportAt = Date.UTC(2021, 0, 1);

interface Portfolio {
  readonly id: string;
  readonly user: User;
  /** Ids of transactions: those that were accepted, and those that were sent at all. */
  readonly accepted: Set<string>;
  readonly sent: Set<string>;
}

/** Deposits of ether, a second apart, in a stretch of time that no other report has. */
function report(number: number): string {
  const head =
    'Timestamp,Transaction Type,Asset,Quantity Transacted,USD Spot Price at Transaction,USD Subtotal,USD Total (inclusive of fees),USD Fees,Notes';
  const lines = Array.from({ length: rowsOfReport }, (_, row) => {
    const at = new Date(firstReportAt + (number * rowsOfReport + row) * 1_000);
    return `${at.toISOString()},Receive,ETH,1,1000,1000,1000,0,`;
  });
  return `${[head, ...lines].join('\n')}\n`;
}

export function booksLoad(soak: Soak): Part {
  const portfolios: Portfolio[] = [];
  const urls = soak.fleet.stack.apis.map(({ url }) => url);
  /** Job by number of the report. */
  const imports = new Map<number, string>();
  let reports = 0;

  async function open(): Promise<void> {
    for (const user of soak.users)
      for (let count = 0; count < portfoliosEach; count += 1) {
        const answer = await insist(soak, user, 'POST', '/portfolios', { body: { name: `books ${count}` } });
        const { id } = dataOf<{ id: string }>(answer);
        if (id !== undefined) portfolios.push({ id, user, accepted: new Set(), sent: new Set() });
      }
  }

  async function write(): Promise<void> {
    const portfolio = anyOf(portfolios);
    const id = newId();
    const body = {
      id,
      type: 'buy',
      executed_at: new Date(Date.UTC(2024, 0, 1) + Math.floor(Math.random() * 5e5) * 60_000).toISOString(),
      received: { asset: 'bitcoin', quantity: '1' },
      value: '100',
    };
    portfolio.sent.add(id);
    const path = `/portfolios/${portfolio.id}/transactions`;
    const answer = await insist(soak, portfolio.user, 'POST', path, { body });
    if (answer === undefined || answer.status >= 300) return;
    portfolio.accepted.add(id);
    // A client that is not sure sends it again.
    if (chance(0.1)) await portfolio.user.ask('POST', path, { body });
    if (chance(0.1)) await portfolio.user.ask('GET', `/portfolios/${portfolio.id}/valuation`);
  }

  async function upload(): Promise<void> {
    const number = reports++;
    const portfolio = anyOf(portfolios);
    const body = new FormData();
    body.set('symbols', '{"ETH":"ethereum"}');
    body.set('file', new Blob([report(number)], { type: 'text/csv' }), 'report.csv');
    const key = newId();
    while (!soak.end.aborted) {
      const response = await fetch(`${anyOf(urls)}/api/v1/portfolios/${portfolio.id}/import`, {
        method: 'POST',
        headers: { authorization: `Bearer ${portfolio.user.token}`, 'idempotency-key': key },
        body,
        signal: AbortSignal.timeout(30_000),
      }).catch(() => undefined);
      const text = await response?.text().catch(() => undefined);
      if (response?.status === 202 && text !== undefined) {
        imports.set(number, (JSON.parse(text) as { data: { id: string } }).data.id);
        return;
      }
      if (response !== undefined && ![429, 503].includes(response.status))
        soak.say(`an import was answered ${response.status} ${text ?? ''}`);
      await pause(soak, 1_000);
    }
  }

  return {
    async run() {
      await open();
      await Promise.all([
        ...Array.from({ length: writers }, () => repeat(soak, 500, write)),
        repeat(soak, importEveryMs, upload),
      ]);
    },
    async rows() {
      return [
        ...(await transactionRows(soak, portfolios)),
        ...(await importRows(soak, { imports, reports })),
        await positionsRow(soak, portfolios),
      ];
    },
  };
}

async function transactionRows(
  { fleet: { backstage } }: Soak,
  portfolios: readonly Portfolio[],
): Promise<Row[]> {
  const stored = await backstage.query<{ id: string }>('select id from transactions where import_id is null');
  const ids = stored.map(({ id }) => id);
  const has = new Set(ids);
  const accepted = portfolios.flatMap((each) => [...each.accepted]);
  const sent = new Set(portfolios.flatMap((each) => [...each.sent]));
  const [counted] = await backstage.query<{ n: number }>(
    `select count(*)::int as n from transactions t where import_id is null and (
       select count(*) from postings p where p.portfolio_id = t.portfolio_id and p.transaction_id = t.id) <> 1`,
  );
  const n = counted?.n ?? 0;
  return [
    none(
      'accepted transactions that are lost',
      accepted.filter((id) => !has.has(id)),
      ` of ${accepted.length}`,
    ),
    none('transactions that nobody sent, or that are there twice', [
      ...ids.filter((id) => !sent.has(id)),
      ...ids.filter((id, index) => ids.indexOf(id) !== index),
    ]),
    {
      what: 'transactions whose posting is lost or doubled',
      result: String(n),
      requested: '0',
      kept: n === 0,
    },
  ];
}

async function importRows(
  { fleet: { backstage } }: Soak,
  { imports, reports }: { readonly imports: ReadonlyMap<number, string>; readonly reports: number },
): Promise<Row[]> {
  const stored = await backstage.query<{ number: number; n: number }>(
    `select floor((extract(epoch from executed_at) - $1) / $2)::int as number, count(*)::int as n
     from transactions where import_id is not null group by 1`,
    [firstReportAt / 1_000, rowsOfReport],
  );
  const rowsOf = new Map(stored.map(({ number, n }) => [number, n]));
  const jobs = await backstage.query<{ id: string; state: string; error: object | null }>(
    'select id, state, error from jobs where id = any($1)',
    [[...imports.values()]],
  );
  const stateOf = new Map(jobs.map(({ id, state }) => [id, state]));
  const wrong = [...imports].flatMap(([number, id]) => {
    const [state, rows] = [stateOf.get(id), rowsOf.get(number) ?? 0];
    const right = state === 'completed' ? rowsOfReport : 0;
    return rows === right && state !== undefined
      ? []
      : [`report ${number}: ${rows} rows, ${state ?? 'no job'}`];
  });
  const foreign = stored.filter(
    ({ number, n }) => !imports.has(number) && ((number >= reports && n > 0) || n !== rowsOfReport),
  );
  return [
    none(
      'imports whose rows are lost or doubled',
      [...wrong, ...foreign.map(({ number, n }) => `report ${number}: ${n} rows, not accepted`)],
      ` of ${imports.size}`,
    ),
    none(
      'accepted imports that failed',
      jobs.filter(({ state }) => state === 'failed').map(({ id, error }) => `${id} ${JSON.stringify(error)}`),
    ),
  ];
}

/** What the books come to is what was written. */
async function positionsRow({ fleet: { backstage } }: Soak, portfolios: readonly Portfolio[]): Promise<Row> {
  const stored = await backstage.query<{ portfolio_id: string; asset: string; n: number }>(
    `select portfolio_id, received_asset as asset, sum(received_quantity)::int as n
     from transactions group by 1, 2`,
  );
  const wrong: string[] = [];
  for (const { id, user } of portfolios) {
    const answer = await user.ask('GET', `/portfolios/${id}/positions`);
    const { positions = [] } = dataOf<{ positions: { asset: string; quantity: string }[] }>(answer);
    const shown = new Map(positions.map(({ asset, quantity }) => [asset, quantity]));
    for (const { portfolio_id: owner, asset, n } of stored)
      if (owner === id && shown.get(asset) !== String(n))
        wrong.push(`${id}: ${n} ${asset}, shown ${shown.get(asset) ?? `nothing (${answer?.status ?? ''})`}`);
  }
  return none('positions that differ from the transactions', wrong, ` of ${stored.length}`);
}
