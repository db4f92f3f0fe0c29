/**
 * What imports cost: a made-up report of each format, small and as long as one may be, is imported by a process of its own,
 * as a worker would; then the same file again, which must change nothing. Rows per second, the peak of the process's memory
 * and what of it is above an idle one, and the longest time that its event loop was not free.
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import type { Portfolio } from '../src/features/portfolios/ledger/portfolio.ts';
import { openImports, type ImportBench, type ImportReported } from '../test/support/import-run.ts';
import { mochaGlobalTeardown as stopServices } from '../test/support/services.ts';
import { madeFormats, madeMapping, madeReport, type MadeFormat } from './support/reports.ts';

const sizes = (process.env.BENCH_ROWS ?? '20000,200000').split(',').map(Number);

interface Reported {
  readonly state: string;
  readonly error: { readonly message: string } | null;
  readonly result: ImportReported;
  readonly tookMs: number;
  readonly longestMs: number;
  readonly idleRss: number;
  readonly peakRss: number;
  readonly cpu: { readonly user: number; readonly system: number };
}

async function importInProcess(
  bench: ImportBench,
  portfolio: Portfolio,
  importId: string,
): Promise<Reported> {
  const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
  const child = fork(new URL(`./import-worker.${extension}`, import.meta.url), {
    env: {
      ...process.env,
      IMPORT_DATABASE: bench.databaseUrl,
      IMPORT_PLACE: `${portfolio.id}/${importId}`,
    },
  });
  const [reported] = (await once(child, 'message')) as [Reported];
  await once(child, 'exit');
  if (reported.state !== 'completed') throw new Error(reported.error?.message ?? reported.state);
  return reported;
}

const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(0)} MB`;

async function measure(bench: ImportBench, format: MadeFormat, rows: number): Promise<void> {
  const portfolio = await bench.portfolio();
  const options =
    format === 'generic' ? { format: 'generic', mappingJson: JSON.stringify(madeMapping) } : { format };
  const file = madeReport(format, rows);
  for (const time of ['first', 'again']) {
    const importId = await bench.upload(portfolio, file, options);
    const reported = await importInProcess(bench, portfolio, importId);
    const { added, duplicates, problem_count: problems } = reported.result;
    const perSecond = Math.round(reported.result.rows / (reported.tookMs / 1000));
    console.log(
      `${format} ${rows} rows, ${megabytes(file.length)}, ${time}: ${(reported.tookMs / 1000).toFixed(1)} s ` +
        `(${perSecond} rows/s, CPU ${((reported.cpu.user + reported.cpu.system) / 1e6).toFixed(1)} s), ` +
        `added ${added}, duplicates ${duplicates}, problems ${problems}, peak ${megabytes(reported.peakRss)} ` +
        `(${megabytes(reported.peakRss - reported.idleRss)} above idle), loop held ${reported.longestMs.toFixed(0)} ms`,
    );
    if (time === 'again' && added > 0) throw new Error('the same file again has added something');
  }
}

const bench = await openImports();
for (const format of madeFormats) for (const rows of sizes) await measure(bench, format, rows);
await bench.close();
await stopServices();
