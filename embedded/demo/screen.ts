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
