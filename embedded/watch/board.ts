/** Live prices as text: a table that a terminal redraws in place, or a line per price where there is none. */
import type { QuoteRow } from '../../client/types.ts';
import {
  ageText,
  type Cell,
  type Column,
  hasPrice,
  header,
  lineOf,
  type Output,
  type Paint,
  percentText,
  priceText,
} from '../terminal-output.ts';

/** Shows what is watched. */
export interface Board {
  /** New quotes of some coins. */
  take(rows: readonly QuoteRow[]): void;
  /** What the reader should know of the connection; empty when all is well. */
  say(status: string): void;
  /** Leaves what is shown, and stops. */
  close(): void;
}

export interface BoardOptions {
  readonly out: Output;
  readonly paint: Paint;
  readonly coins: readonly string[];
  readonly currency: string;
}

const redrawMs = 1_000;
/** Lines besides the coins: the head, the status, and the one that the cursor is on. */
const otherLines = 3;

const columnsOf = (currency: string): readonly Column[] => [
  { title: 'COIN', width: 19, align: 'left' },
  { title: `PRICE ${currency.toUpperCase()}`, width: 18, align: 'right' },
  { title: 'MOVE', width: 9, align: 'right' },
  { title: '24 H', width: 9, align: 'right' },
  { title: 'AGE', width: 5, align: 'right' },
  { title: 'STATE', width: 12, align: 'left' },
];

/** A table in a terminal, lines elsewhere. */
export function createBoard(options: BoardOptions): Board {
  return options.out.isTTY === true ? new Table(options) : createLog(options);
}

/** One line about one coin, at most 79 columns wide. */
export function priceLine(row: QuoteRow, currency: string, now: number): string {
  const time = new Date(now).toISOString().slice(11, 19);
  if (!hasPrice(row)) return `${time}  ${row.id}  ${row.state}`;
  const age = ageText(now - Date.parse(row.received_at));
  const price = `${priceText(row.price)} ${currency.toUpperCase()}`;
  return `${time}  ${row.id}  ${price}  24h ${percentText(row.change_percent_24h)}  ${age} old  ${row.state}`;
}

function createLog({ out, currency }: BoardOptions): Board {
  let said = '';
  return {
    take(rows) {
      for (const row of rows) out.write(`${priceLine(row, currency, Date.now())}\n`);
    },
    say(status) {
      if (status !== '' && status !== said) out.write(`${status}\n`);
      said = status;
    },
    close: () => undefined,
  };
}

class Table implements Board {
  readonly #options: BoardOptions;
  readonly #columns: readonly Column[];
  readonly #shown = new Map<
    string,
    {
      readonly row: QuoteRow;
      /** Change against the observation before, in per cent; null for the first one. */
      readonly move: number | null;
    }
  >();
  readonly #ticking: NodeJS.Timeout;
  #status = '';
  #height = 0;

  constructor(options: BoardOptions) {
    this.#options = options;
    this.#columns = columnsOf(options.currency);
    // Ages grow also while nothing comes.
    this.#ticking = setInterval(() => this.#draw(), redrawMs);
  }

  take(rows: readonly QuoteRow[]): void {
    for (const row of rows) this.#shown.set(row.id, { row, move: this.#moveTo(row) });
    this.#draw();
  }

  say(status: string): void {
    this.#status = status;
    this.#draw();
  }

  close(): void {
    clearInterval(this.#ticking);
    this.#draw();
  }

  #moveTo(row: QuoteRow): number | null {
    const before = this.#shown.get(row.id);
    if (before === undefined || !hasPrice(row) || !hasPrice(before.row)) return null;
    // The same observation again, now stale.
    if (before.row.received_at === row.received_at) return before.move;
    return before.row.price === 0 ? null : (row.price / before.row.price - 1) * 100;
  }

  #draw(): void {
    const { out, paint, coins } = this.#options;
    const room = Math.max(1, (out.rows ?? Number.POSITIVE_INFINITY) - otherLines);
    const hidden = coins.length - room;
    const now = Date.now();
    const lines = [
      header(this.#columns, paint),
      ...coins.slice(0, room).map((coin) => lineOf(this.#columns, this.#cellsOf(coin, now))),
      paint.dim(this.#status === '' && hidden > 0 ? `and ${hidden} more` : this.#status),
    ];
    const up = this.#height === 0 ? '' : `\u001b[${this.#height}A`;
    out.write(`${up}${lines.map((line) => `\r\u001b[2K${line}\n`).join('')}`);
    this.#height = lines.length;
  }

  #cellsOf(coin: string, now: number): readonly Cell[] {
    const { paint } = this.#options;
    const shown = this.#shown.get(coin);
    const dash: Cell = ['-'];
    if (shown === undefined) return [[coin], dash, dash, dash, dash, ['waiting', paint.dim]];
    const { row, move } = shown;
    if (!hasPrice(row)) return [[coin], dash, dash, dash, dash, [row.state, paint.red]];
    const signed = (percent: number | null): Cell => [
      percentText(percent),
      percent !== null && percent < 0 ? paint.red : paint.green,
    ];
    return [
      [coin],
      [priceText(row.price), paint.bold],
      signed(move),
      signed(row.change_percent_24h),
      [ageText(now - Date.parse(row.received_at))],
      [row.state, row.state === 'fresh' ? paint.green : paint.yellow],
    ];
  }
}
