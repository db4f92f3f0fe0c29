/**
 * Order of the ids of a Redis stream, `<milliseconds>-<sequence>`. As in a range, an id without a sequence stands for the whole
 * millisecond, and `+` for the end.
 */

/** Whether `a` comes before `b`, by time, then by sequence; a missing sequence is the first. */
export function isBefore(a: string, b: string): boolean {
  const [aTime, aSequence] = partsOf(a, 0);
  const [bTime, bSequence] = partsOf(b, 0);
  return aTime === bTime ? aSequence < bSequence : aTime < bTime;
}

/** Whether `id` comes after the last that a range up to `end` takes in. */
export function isAfterEnd(id: string, end: string): boolean {
  if (end === '+') return false;
  const [time, sequence] = partsOf(id, 0);
  const [endTime, endSequence] = partsOf(end, Infinity);
  return time === endTime ? sequence > endSequence : time > endTime;
}

function partsOf(id: string, missing: number): [time: number, sequence: number] {
  if (id === '+') return [Infinity, Infinity];
  const [time = '0', sequence] = id.split('-');
  return [Number(time), sequence === undefined ? missing : Number(sequence)];
}
