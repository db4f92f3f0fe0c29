/**
 * Alerts of one value by the level at which they do something, the first to be reached on top: a value that reaches none of
 * them costs one comparison. An alert that has changed leaves its old entry behind; such entries are thrown away when they come
 * up, or all at once when there are too many.
 */
import type { Level } from './level.ts';

interface Entry {
  readonly level: Level;
  readonly id: string;
  readonly version: number;
}

interface HeapDeps {
  /** Whether the alert still stands as it did in this version. */
  readonly isCurrent: (id: string, version: number) => boolean;
}

/** Entries below which nothing is swept. */
const fewEntries = 64;

/** A binary heap, the lowest level on top. */
export class LevelHeap {
  readonly #isCurrent: HeapDeps['isCurrent'];
  #entries: Entry[] = [];
  #sweepAt = fewEntries;

  constructor({ isCurrent }: HeapDeps) {
    this.#isCurrent = isCurrent;
  }

  /** Entries, outdated ones included. */
  get size(): number {
    return this.#entries.length;
  }

  add(level: Level, id: string, version: number): void {
    if (this.#entries.length >= this.#sweepAt) this.#sweep();
    this.#entries.push({ level, id, version });
    this.#rise(this.#entries.length - 1);
  }

  /** Takes out the alerts whose level is `value` or less. */
  take(value: Level): readonly string[] {
    const taken: string[] = [];
    for (let top = this.#entries[0]; top !== undefined && top.level <= value; top = this.#entries[0]) {
      this.#pop();
      if (this.#isCurrent(top.id, top.version)) taken.push(top.id);
    }
    return taken;
  }

  #pop(): void {
    const last = this.#entries.pop();
    if (last === undefined || this.#entries.length === 0) return;
    this.#entries[0] = last;
    this.#sink(0);
  }

  #sweep(): void {
    this.#entries = this.#entries.filter(({ id, version }) => this.#isCurrent(id, version));
    for (let index = (this.#entries.length >> 1) - 1; index >= 0; index--) this.#sink(index);
    this.#sweepAt = Math.max(fewEntries, 2 * this.#entries.length);
  }

  #rise(from: number): void {
    let index = from;
    while (index > 0) {
      const parent = (index - 1) >> 1;
      if (!this.#isBefore(index, parent)) return;
      this.#swap(index, parent);
      index = parent;
    }
  }

  #sink(from: number): void {
    let index = from;
    for (;;) {
      const left = 2 * index + 1;
      const least = this.#isBefore(left + 1, left) ? left + 1 : left;
      if (!this.#isBefore(least, index)) return;
      this.#swap(index, least);
      index = least;
    }
  }

  /** False where either place is empty. */
  #isBefore(a: number, b: number): boolean {
    const first = this.#entries[a];
    const second = this.#entries[b];
    return first !== undefined && second !== undefined && first.level < second.level;
  }

  #swap(a: number, b: number): void {
    const first = this.#entries[a];
    const second = this.#entries[b];
    if (first === undefined || second === undefined) return;
    this.#entries[a] = second;
    this.#entries[b] = first;
  }
}
