import { spawn } from 'node:child_process';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { demoCoins, runDemo } from '../../embedded/demo/run-demo.ts';
import { freePort } from '../../embedded/free-port.ts';
import { projectRoot } from '../../embedded/project-root.ts';
import { startStack, type Stack } from '../support/stack.ts';

interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

const folder = join(tmpdir(), `pricepool-demo-${process.pid}`);

describe('npm run demo', () => {
  let stack: Stack;

  before(async function () {
    this.timeout(120_000);
    stack = await startStack({ market: { latencyMs: 200 } });
  });
  after(async () => {
    await stack.stop();
    await rm(folder, { recursive: true, force: true });
  });

  it('shows quotes and the value of a portfolio, plain where nobody sees colours', async function () {
    this.timeout(120_000);
    const { code, out, err } = await demo([], { PORT: new URL(stack.apis[0]!.url).port });
    expect(err).to.equal('');
    expect(code).to.equal(0);
    const lines = out.split('\n');
    expect(lines.filter((line) => line.length > 80)).to.deep.equal([]);
    expect(out).to.not.include('\u001b').and.not.include('\r');
    expect(out).to.match(/logged in as demo-[0-9a-f]{8}\n/);
    expect(lines).to.include(`[${'#'.repeat(40)}] 50/50 over SSE`);

    const rows = quoteRows(lines);
    expect(rows).to.have.length(50);
    for (const row of rows) {
      // Coin, price, change, source, age, state.
      expect(row).to.match(/^\S+ +[\d,]+\.\d{2,12} +([+-]?\d+\.\d\d%|-) +simulated +\d+s +fresh$/);
    }

    const bitcoin = lines.filter((line) => line.startsWith('bitcoin ')).at(-1) ?? '';
    const [, quantity = '', price = '', value = ''] = bitcoin.split(/ +/);
    expect(quantity).to.equal('0.125');
    expect(numberOf(value)).to.be.closeTo(0.125 * numberOf(price), 0.01);
    expect(out).to.match(/\nTOTAL +[\d,]+\.\d\d\n/);
    expect(out).to.match(/\nExactly \d+\.\d{9,} USD\n/);
    expect(out).to.include(': 6 holdings of 5 coins\n');
    const live = lines.slice(lines.findIndex((line) => line.startsWith('Live prices')) + 1);
    for (const coin of ['bitcoin', 'ethereum', 'solana']) {
      const shown = new RegExp(
        String.raw`^\d\d:\d\d:\d\d  ${coin}  [\d,]+\.\d\d USD  24h \S+%  \d+s old  fresh$`,
      );
      expect(
        live.filter((line) => shown.test(line)),
        coin,
      ).to.not.be.empty;
    }
    expect(out).to.include('SIMULATED');
  });

  it('draws a bar that events move, and colours, in a terminal', async function () {
    this.timeout(120_000);
    stack.market.setLatency(500);
    let out = '';
    const complaints: string[] = [];
    const terminal = { isTTY: true, write: (text: string) => (out += text) };
    const environment = { PRICEPOOL_DATA_DIR: folder };
    const run = { out: terminal, environment, complain: (message: string) => complaints.push(message) };
    const code = await runDemo({ ...run, args: ['--url', `${stack.apis[0]!.url}/`] });
    expect(complaints).to.deep.equal([]);
    expect(code).to.equal(0);
    expect(out).to.include('\r\u001b[2K[').and.include('\u001b[32mfresh\u001b[0m');
    expect(out.indexOf('] 50/50')).to.be.greaterThan(out.indexOf('] 0/50'));
  });

  it('says where it looked and how to start an API when there is none', async () => {
    const port = await freePort();
    const { code, out, err } = await demo(['--url', `http://127.0.0.1:${port}`], {});
    expect(code).to.equal(1);
    expect(out).to.equal('');
    expect(err).to.include(`no Pricepool API at http://127.0.0.1:${port}`).and.include('npm start');
  });

  it('refuses options that it does not know', async () => {
    for (const args of [['--nope'], ['--url', 'ftp://example.com'], ['--url']]) {
      const { code, err } = await demo(args, {});
      expect(code, args.join(' ')).to.equal(2);
      expect(err).to.include('npm run demo');
    }
  });
});

/** Lines between the head of the table of quotes and the blank line after it. */
function quoteRows(lines: readonly string[]): readonly string[] {
  const start = lines.findIndex((line) => line.startsWith('COIN ') && line.endsWith('STATE')) + 1;
  const rows = lines.slice(start, lines.indexOf('', start));
  expect(rows.map((row) => row.split(' ')[0])).to.deep.equal(demoCoins);
  return rows;
}

function numberOf(text: string): number {
  return Number(text.replaceAll(',', ''));
}

async function demo(args: readonly string[], environment: Record<string, string>): Promise<Ended> {
  const child = spawn(process.execPath, ['--import', 'tsx', join(projectRoot, 'embedded/demo.ts'), ...args], {
    cwd: projectRoot,
    env: { ...process.env, PORT: '', PRICEPOOL_DATA_DIR: folder, ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: 50_000,
  });
  let out = '';
  let err = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (out += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (err += text));
  return await new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => resolve({ code, out, err }));
  });
}
