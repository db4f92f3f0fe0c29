/** Events that are hard to frame, and what an EventSource has to make of them. */
import fc from 'fast-check';
import type { StreamEvent } from '../../src/platform/realtime/frame.ts';

/** An event as a client sees it. */
export interface SeenMessage {
  readonly type: string;
  readonly data: string;
  readonly id: string | undefined;
}

const pieces = [
  '\r',
  '\n',
  '\r\n',
  '\0',
  '\u{FEFF}',
  '😀',
  '',
  ' ',
  ':',
  'data: x',
  'id: 7',
  'event: y',
  'ä',
  'a',
];
const hard = fc
  .array(fc.oneof(fc.constantFrom(...pieces), fc.string({ unit: 'grapheme', maxLength: 8 })), {
    maxLength: 8,
  })
  .map((parts) => parts.join(''));
const aMegabyte = 1_048_576;
const data = fc.oneof(
  { arbitrary: hard, weight: 1_000 },
  {
    arbitrary: fc.constantFrom('x', 'line\n').map((part) => part.repeat(aMegabyte / part.length)),
    weight: 1,
  },
);

/** The same events for the same seed. Names and ids hold whatever data holds, unless `types` names the events. */
export function randomEvents(seed: number, count: number, types?: readonly string[]): StreamEvent[] {
  const type = types === undefined ? hard.map((text) => `t${text}`) : fc.constantFrom(...types);
  const id =
    types === undefined ? fc.option(hard, { nil: undefined }) : fc.option(fc.uuid(), { nil: undefined });
  return fc.sample(fc.record({ type, id, data }), { seed, numRuns: count });
}

/** True for events that would forge fields of the stream. */
export function isForged({ type, id = '' }: StreamEvent): boolean {
  return /[\r\n\0]/.test(type + id);
}

/** What the standard makes of an event. */
export function expectedOf({ type, id, data: text }: StreamEvent): SeenMessage {
  return { type, id, data: text.replaceAll(/\r\n|\r/g, '\n') };
}

/** As {@link expectedOf}, with the id that a client then holds: that of an earlier event where an event has none. */
export function expectedOfAll(events: readonly StreamEvent[]): SeenMessage[] {
  let last = '';
  return events.map((event) => {
    last = event.id ?? last;
    return { ...expectedOf(event), id: last };
  });
}
