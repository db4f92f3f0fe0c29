/** What the demo and the watch write: colours and lines of a terminal, numbers as text, and tables at most 79 columns wide. */
import { Decimal } from 'decimal.js';
import type { PortfolioResult, Quote, QuoteRow, ValuedRow } from '../client/types.ts';

/** Where the demo writes: a terminal gets colours and a bar that moves, everything else gets plain lines. */
export interface Screen {
  readonly paint: Paint;
  readonly line: (text?: string) => void;
  /** Replaces the bar that was drawn last; only a terminal sees the states in between. */
  readonly bar: (text: string) => void;
  /** Leaves the bar as it is and goes to the next line. */
  readonly endBar: () => void;
}

/** Colours, or nothing where there are none. */
export type Paint = Readonly<Record<'dim' | 'bold' | 'green' | 'red' | 'yellow', (text: string) => string>>;

export interface Output {
  readonly isTTY?: boolean;
  /** Height of a terminal in lines. */
  readonly rows?: number;
  write(text: string): unknown;
}

const codes = { dim: 2, bold: 1, green: 32, red: 31, yellow: 33 } as const;

/** Builds the screen; NO_COLOR and a dumb terminal turn colours off as a pipe does. */
export function createScreen(out: Output, environment: NodeJS.ProcessEnv): Screen {
  const isTerminal = out.isTTY === true;
  const noColor = (environment['NO_COLOR'] ?? '') !== '' || environment['TERM'] === 'dumb';
  let bar = '';
  return {
    paint: paintOf(isTerminal && !noColor),
    line: (text = '') => void out.write(`${text}\n`),
    bar(text) {
      if (isTerminal) out.write(`\r\u001b[2K${text}`);
      bar = text;
    },
    endBar() {
      out.write(isTerminal ? '\n' : `${bar}\n`);
      bar = '';
    },
  };
}

function paintOf(colours: boolean): Paint {
  const painter = (code: number) => (text: string) => (colours ? `\u001b[${code}m${text}\u001b[0m` : text);
  return {
    dim: painter(codes.dim),
    bold: painter(codes.bold),
    green: painter(codes.green),
    red: painter(codes.red),
    yellow: painter(codes.yellow),
  };
}

/** Enough digits for any quantity times any price. */
const Exact = Decimal.clone({ precision: 80, toExpNeg: -40, toExpPos: 60 });

/** A price with at least two decimals, and with as many as a small one needs for five significant digits. */
export function priceText(price: number): string {
  const exact = new Exact(price);
  const decimals = exact.isZero() || exact.abs().gte(1) ? 2 : Math.min(12, 4 - exact.e);
  return grouped(exact.toFixed(decimals));
}

/** Decimal text rounded to cents. */
function moneyText(amount: string): string {
  return grouped(new Exact(amount).toFixed(2));
}

/** A change in per cent, with its sign. */
export function percentText(percent: number | null): string {
  if (percent === null) return '-';
  return `${percent > 0 ? '+' : ''}${percent.toFixed(2)}%`;
}

/** An age in the unit that suits it. */
export function ageText(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 100) return `${seconds}s`;
  if (seconds < 6_000) return `${Math.round(seconds / 60)}m`;
  return `${Math.round(seconds / 3_600)}h`;
}

/** A bar such as `[######----] 6/10`. */
export function barText(done: number, total: number, width = 40): string {
  const filled = total === 0 ? width : Math.floor((done / total) * width);
  return `[${'#'.repeat(filled)}${'-'.repeat(width - filled)}] ${done}/${total}`;
}

function grouped(text: string): string {
  const [whole = '', fraction] = text.split('.');
  const groups = whole.replace(/\B(?=(\d{3})+$)/g, ',');
  return fraction === undefined ? groups : `${groups}.${fraction}`;
}

/** The two tables of the demo, at most 79 columns wide. */

/** A column of a table. */
export interface Column {
  readonly title: string;
  readonly width: number;
  readonly align: 'left' | 'right';
}

/** Text of a cell, and its colour. */
export type Cell = readonly [text: string, paint?: (text: string) => string];

const quoteColumns: readonly Column[] = [
  { title: 'COIN', width: 19, align: 'left' },
  { title: 'PRICE USD', width: 16, align: 'right' },
  { title: '24 H', width: 9, align: 'right' },
  { title: 'SOURCE', width: 10, align: 'left' },
  { title: 'AGE', width: 5, align: 'right' },
  { title: 'STATE', width: 12, align: 'left' },
];

const holdingColumns: readonly Column[] = [
  { title: 'COIN', width: 19, align: 'left' },
  { title: 'QUANTITY', width: 20, align: 'right' },
  { title: 'PRICE USD', width: 16, align: 'right' },
  { title: 'VALUE USD', width: 18, align: 'right' },
];

/** Whether a row has a quote. */
export function hasPrice<R extends QuoteRow>(row: R): row is R & Quote {
  return row.state === 'fresh' || row.state === 'stale';
}

/** Lines of the table of quotes: price, change, source, age at `now` (ms since the epoch) and state of each. */
export function quoteTable(rows: readonly QuoteRow[], paint: Paint, now: number): string[] {
  const cellsOf = (row: QuoteRow): readonly Cell[] => {
    if (!hasPrice(row)) return [[row.id], ['-'], ['-'], ['-'], ['-'], [row.state, paint.red]];
    const change = row.change_percent_24h;
    return [
      [row.id],
      [priceText(row.price)],
      [percentText(change), change !== null && change < 0 ? paint.red : paint.green],
      [row.source],
      [ageText(now - Date.parse(row.received_at))],
      [row.state, row.state === 'fresh' ? paint.green : paint.yellow],
    ];
  };
  return [header(quoteColumns, paint), ...rows.map((row) => lineOf(quoteColumns, cellsOf(row)))];
}

/** Lines of the portfolio: its rows, and the total with what it lacks. */
export function portfolioTable(result: PortfolioResult, paint: Paint): string[] {
  const cellsOf = (row: ValuedRow): readonly Cell[] => [
    [row.id],
    [row.quantity],
    [hasPrice(row) ? priceText(row.price) : row.state],
    [row.value === null ? '-' : moneyText(row.value)],
  ];
  const total: readonly Cell[] = [
    ['TOTAL', paint.bold],
    [''],
    [''],
    [moneyText(result.total_value), paint.bold],
  ];
  return [
    header(holdingColumns, paint),
    ...result.portfolio.map((row) => lineOf(holdingColumns, cellsOf(row))),
    lineOf(holdingColumns, total),
    `Exactly ${result.total_value} USD${result.complete ? '' : `, without ${result.missing.join(', ')}`}`,
  ];
}

/** The line of titles. */
export function header(columns: readonly Column[], paint: Paint): string {
  return paint.dim(
    lineOf(
      columns,
      columns.map(({ title }): Cell => [title]),
    ),
  );
}

/** One row; text that is too long is cut. */
export function lineOf(columns: readonly Column[], cells: readonly Cell[]): string {
  return columns
    .map(({ width, align }, index) => {
      const [text = '', paint = (same: string) => same] = cells[index] ?? [];
      const cut = text.length > width ? `${text.slice(0, width - 1)}~` : text;
      // Padding stays outside the colour, and counts without its codes.
      const padding = ' '.repeat(width - cut.length);
      return align === 'left' ? `${paint(cut)}${padding}` : `${padding}${paint(cut)}`;
    })
    .join(' ')
    .trimEnd();
}
