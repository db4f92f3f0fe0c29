/** The alerts that this process watches, by what they watch. Bounded: at the limit further alerts are left to be told of. */
import type { Alert } from './alert.ts';
import { isWatched } from './crossing.ts';
import { Subject, subjectKeyOf } from './subject.ts';

interface IndexDeps {
  readonly limit: number;
  readonly onBegin: (subject: Subject) => void;
  readonly onEnd: (subject: Subject) => void;
}

export class AlertIndex {
  readonly #deps: IndexDeps;
  readonly #subjects = new Map<string, Subject>();
  readonly #subjectOf = new Map<string, Subject>();

  constructor(deps: IndexDeps) {
    this.#deps = deps;
  }

  /** Alerts that are held. */
  get size(): number {
    return this.#subjectOf.size;
  }

  get isFull(): boolean {
    return this.#subjectOf.size >= this.#deps.limit;
  }

  has(id: string): boolean {
    return this.#subjectOf.has(id);
  }

  /** Takes an alert in as it is now. Returns its subject when something has changed, and it is watched. */
  put(alert: Alert): Subject | undefined {
    const held = this.#subjectOf.get(alert.id);
    const key = subjectKeyOf(alert);
    if (!isWatched(alert)) {
      this.remove(alert.id);
      return undefined;
    }
    if (held === undefined && this.isFull) return undefined;
    if (held !== undefined && held.key !== key) this.remove(alert.id);
    const subject = this.#subjects.get(key) ?? new Subject(alert);
    const isNew = subject.put(alert);
    this.#subjectOf.set(alert.id, subject);
    if (!this.#subjects.has(key)) {
      this.#subjects.set(key, subject);
      this.#deps.onBegin(subject);
    }
    return isNew ? subject : undefined;
  }

  remove(id: string): void {
    const subject = this.#subjectOf.get(id);
    if (subject === undefined) return;
    this.#subjectOf.delete(id);
    subject.remove(id);
    if (subject.size > 0) return;
    this.#subjects.delete(subject.key);
    this.#deps.onEnd(subject);
  }
}
