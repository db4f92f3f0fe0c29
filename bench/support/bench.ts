/**
 * Frame of every bench: it runs on processes and servers of its own, prints what came out beside what is asked, and ends
 * everything it started. A bench fails only where a promised count is broken; times and ratios are printed, not judged.
 */
import { messageOf } from '../../src/domain/errors.ts';
import { startStack, type Stack, type StackOptions } from '../../test/support/stack.ts';
import { mochaGlobalTeardown as stopServices } from '../../test/support/services.ts';

/** One line of a bench's table. */
export interface Row {
  readonly what: string;
  readonly result: string;
  /** What is asked, or what it compares with; empty when nothing is. */
  readonly requested?: string;
  /** False when a promised count is broken. */
  readonly kept?: boolean;
}

/** What a bench can use. */
export interface Bench {
  /** Starts a stack that ends with the bench, or before by its own `stop`. */
  stack(options: StackOptions): Promise<Stack>;
  /** Registers what must end with the bench. */
  onEnd(end: () => unknown): void;
  /** Says on standard error what is going on. */
  say(text: string): void;
}

/** Runs a bench, prints its table and sets the exit code: 1 when a count is broken or it could not run. */
export async function runBench(
  title: string,
  bench: (tools: Bench) => Promise<readonly Row[]>,
): Promise<void> {
  const ends: (() => unknown)[] = [];
  const tools: Bench = {
    async stack(options) {
      const stack = await startStack(options);
      let stopped = false;
      const stop = async (): Promise<void> => {
        if (stopped) return;
        stopped = true;
        await stack.stop();
      };
      ends.push(stop);
      return { ...stack, stop };
    },
    onEnd: (end) => void ends.push(end),
    say: (text) => void process.stderr.write(`${text}\n`),
  };
  try {
    const rows = await bench(tools);
    process.stdout.write(`\n${title}\n${tableOf(rows)}\n`);
    if (rows.some(({ kept }) => kept === false)) process.exitCode = 1;
  } catch (error) {
    process.stderr.write(`${title}: ${error instanceof Error ? (error.stack ?? '') : messageOf(error)}\n`);
    process.exitCode = 1;
  } finally {
    for (const end of ends.reverse()) await attempt(end);
    await attempt(stopServices);
  }
}

async function attempt(end: () => unknown): Promise<void> {
  try {
    await end();
  } catch (error) {
    process.stderr.write(`at the end: ${messageOf(error)}\n`);
    process.exitCode = 1;
  }
}

/** A table in Markdown. */
function tableOf(rows: readonly Row[]): string {
  const cells = rows.map(({ what, result, requested = '', kept }) => [
    what,
    result,
    requested,
    verdictOf(kept),
  ]);
  const all = [['what', 'result', 'asked', ''], ...cells];
  const widths = [0, 1, 2, 3].map((column) => Math.max(...all.map((row) => row[column]?.length ?? 0)));
  const line = (row: readonly string[]): string =>
    `| ${row.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join(' | ')} |`;
  const [head = [], ...body] = all;
  return [line(head), `|${widths.map((width) => '-'.repeat(width + 2)).join('|')}|`, ...body.map(line)].join(
    '\n',
  );
}

function verdictOf(kept: boolean | undefined): string {
  if (kept === undefined) return '';
  return kept ? 'kept' : 'BROKEN';
}
