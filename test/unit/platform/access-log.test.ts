import { expect } from 'chai';
import { pino } from 'pino';
import { waitFor } from '../../support/wait-for.ts';
import { createAccessLog } from '../../../src/platform/observability/access-log.ts';

describe('access log', () => {
  const entry = {
    requestId: 'abc-1',
    method: 'GET',
    path: '/a"b\\\n{',
    route: '/:x',
    status: 200,
    at: Date.UTC(2026, 0, 1),
    ms: 1.23456,
    userId: undefined,
  };

  function logAt(level: string) {
    const written: string[] = [];
    const log = pino({ name: 'api', level }, { write: (text: string) => written.push(text) });
    return { written, access: createAccessLog(log) };
  }

  it('writes lines together, each of them JSON whatever the path holds', async () => {
    const { written, access } = logAt('info');
    access(entry);
    access({ ...entry, userId: 'joe' });
    await waitFor(() => written.length > 0, { what: 'lines' });
    expect(written).to.have.lengthOf(1);
    const lines = written[0]!.trimEnd().split('\n');
    const [first, second] = lines.map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(first).to.include({
      name: 'api',
      level: 30,
      req: 'abc-1',
      path: entry.path,
      status: 200,
      ms: 1.235,
      msg: 'request',
    });
    expect(first).to.not.have.property('user');
    expect(second).to.include({ user: 'joe' });
    expect(Number.isNaN(Date.parse(String(first!['time'])))).to.equal(false);
  });

  it('is silent above its level', async () => {
    const { written, access } = logAt('warn');
    const loud = logAt('info');
    access(entry);
    loud.access(entry);
    await waitFor(() => loud.written.length > 0, { what: 'lines of the other' });
    expect(written).to.deep.equal([]);
  });
});
