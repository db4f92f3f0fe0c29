/** An import through a whole deployment: uploaded to an API, read by a worker that is killed over it and by the next one. */
import { expect } from 'chai';
import { startStack, type Stack } from '../support/stack.ts';
import { waitFor } from '../support/wait-for.ts';
import { newPerson, succeed, type Person } from './support/identities.ts';

const rows = 15_000;

/** Deposits of bitcoin, a second apart, each with its worth. */
function report(): string {
  const lines = [
    'Timestamp,Transaction Type,Asset,Quantity Transacted,USD Spot Price at Transaction,USD Subtotal,USD Total (inclusive of fees),USD Fees,Notes',
  ];
  const begin = Date.UTC(2021, 0, 1);
  for (let n = 0; n < rows; n++)
    lines.push(`${new Date(begin + n * 1_000).toISOString()},Receive,BTC,0.001,30000,30,30,0,`);
  return `${lines.join('\n')}\n`;
}

describe('an import by a fleet', function () {
  this.timeout(120_000);
  let stack: Stack;
  let url: string;
  let joe: Person;

  before(async () => {
    stack = await startStack({ workers: 1 });
    url = stack.apis[0]!.url;
    joe = await newPerson(url);
  });
  after(() => stack.stop());

  it('survives the death of its worker, and brings everything once', async () => {
    const { id } = await succeed(url, joe.token, ['POST', '/portfolios', { name: 'books' }]);
    const body = new FormData();
    body.set('symbols', '{"BTC":"bitcoin"}');
    body.set('file', new Blob([report()], { type: 'text/csv' }), 'report.csv');
    const response = await fetch(`${url}/api/v1/portfolios/${id as string}/import`, {
      method: 'POST',
      headers: { authorization: `Bearer ${joe.token}` },
      body,
    });
    expect(response.status).to.equal(202);
    const { data: job } = (await response.json()) as { data: { id: string } };
    const jobNow = () => succeed(url, joe.token, ['GET', `/jobs/${job.id}`]);
    await waitFor(async () => ((await jobNow()).progress as { done: number }).done > 0, {
      what: 'the begin of the import',
      timeoutMs: 60_000,
    });
    stack.workers[0]!.kill('SIGKILL');
    await stack.startWorker();
    const isDone = async (): Promise<boolean> => (await jobNow()).state === 'completed';
    await waitFor(isDone, { what: 'the end of the import', timeoutMs: 60_000 });
    const result = (await jobNow()).result as Record<string, unknown>;
    expect(result).to.include({ format: 'coinbase', added: rows, duplicates: 0, problem_count: 0 });
    const [position] = (await succeed(url, joe.token, ['GET', `/portfolios/${id as string}/positions`]))
      .positions as { quantity: string; cost_basis: string }[];
    expect(position).to.include({ asset: 'bitcoin', quantity: '15', cost_basis: '450000' });
  });
});
