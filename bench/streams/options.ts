/** What the command line of the stream benches may say. */
import { parseArgs } from 'node:util';

/** Parts of the stream bench. */
export const partNames = ['ratios', 'stalled', 'fanout', 'watchers', 'churn', 'upstream'] as const;
export type PartName = (typeof partNames)[number];

export interface StreamOptions {
  readonly parts: readonly PartName[];
  /** Whether a missed gate fails the bench; lost deliveries always do. */
  readonly gate: boolean;
  readonly rounds: number;
  /** Streams at the same time; absent where each part has its own number. */
  readonly streams: number | undefined;
}

/** @throws {Error} when the arguments make no sense. */
export function readOptions(args: readonly string[]): StreamOptions {
  const { values } = parseArgs({
    args: [...args],
    options: {
      gate: { type: 'boolean', default: false },
      part: { type: 'string', multiple: true, default: ['ratios', 'stalled'] },
      rounds: { type: 'string', default: '3' },
      streams: { type: 'string' },
    },
  });
  const requested = values.part.includes('all') ? partNames : values.part;
  const parts = requested.map((name) => {
    const known = partNames.find((part) => part === name);
    if (known === undefined)
      throw new Error(`no part is called ${name}; there are ${partNames.join(', ')}, all`);
    return known;
  });
  return {
    parts,
    gate: values.gate,
    rounds: wholeNumber('rounds', values.rounds, 1) ?? 1,
    streams: wholeNumber('streams', values.streams, 20),
  };
}

function wholeNumber(name: string, text: string | undefined, least: number): number | undefined {
  if (text === undefined) return undefined;
  const number = Number(text);
  if (!Number.isInteger(number) || number < least) throw new Error(`--${name} must be at least ${least}`);
  return number;
}
