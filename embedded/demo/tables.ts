/** The two tables of the demo, at most 79 columns wide. */
import type { PortfolioResult, QuoteRow, ValuedRow } from '../../client/types.ts';
import { ageText, moneyText, percentText, priceText } from './format.ts';
import type { Paint } from './screen.ts';

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

interface Look {
  readonly paint: Paint;
  /** Milliseconds since the Unix epoch. */
  readonly now: number;
}

/** Lines of the table of quotes: price, change, source, age and state of each. */
export function quoteTable(rows: readonly QuoteRow[], { paint, now }: Look): string[] {
  const cellsOf = (row: QuoteRow): readonly Cell[] => {
    if (!('price' in row)) return [[row.id], ['-'], ['-'], ['-'], ['-'], [row.state, paint.red]];
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
export function portfolioTable(result: PortfolioResult, { paint }: Pick<Look, 'paint'>): string[] {
  const cellsOf = (row: ValuedRow): readonly Cell[] => [
    [row.id],
    [row.quantity],
    ['price' in row ? priceText(row.price) : row.state],
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
