/**
 * One watched value and its alerts. A value that reaches no level costs two comparisons. While the transition of an alert is
 * being stored, the alert is set aside; the last values seen meanwhile are kept and checked afterwards, so that a slow database
 * loses no crossing among them.
 */
import type { Alert, AlertSubject, NotEvaluated } from './alert.ts';
import {
  isWatched,
  transitionOf,
  triggersOf,
  type Level,
  type TransitionTarget,
  type Observation,
} from './crossing.ts';

/** A transition to be stored. */
export interface StartedTransition {
  readonly subject: Subject;
  readonly alert: Alert;
  readonly transition: TransitionTarget;
  readonly observation: Observation;
}

/** Most values kept while a transition is stored; then the oldest are dropped. */
const maxKept = 100;

/** The key of what an alert watches. */
export function subjectKeyOf({ kind, assetId, portfolioId, currency, windowSeconds }: AlertSubject): string {
  if (kind === 'portfolio_value') return `value:${currency}:${portfolioId ?? ''}`;
  return `${kind}:${currency}:${assetId ?? ''}:${windowSeconds ?? ''}`;
}

export class Subject {
  readonly key: string;
  readonly of: AlertSubject;
  readonly #alerts = new Map<string, Alert>();
  /** Alerts whose transition is being stored, with the values seen since. */
  readonly #inTransition = new Map<string, Observation[]>();
  readonly #rises: LevelHeap;
  /** By the negative of the level. */
  readonly #falls: LevelHeap;
  #newestAt = 0;
  #reason: NotEvaluated | null | undefined;
  #isReasonNew = false;

  constructor(of: AlertSubject) {
    this.key = subjectKeyOf(of);
    this.of = of;
    const isCurrent = (id: string, version: number): boolean =>
      this.#alerts.get(id)?.version === version && !this.#inTransition.has(id);
    this.#rises = new LevelHeap({ isCurrent });
    this.#falls = new LevelHeap({ isCurrent });
  }

  get size(): number {
    return this.#alerts.size;
  }

  /** Who is charged for the quotes: the owner of any of the alerts. */
  get ownerId(): string | undefined {
    return this.#alerts.values().next().value?.userId;
  }

  /** Adds an alert; returns false when it, or a newer version of it, is already there. */
  put(alert: Alert): boolean {
    const held = this.#alerts.get(alert.id);
    if (held !== undefined && held.version >= alert.version) return false;
    this.#alerts.set(alert.id, alert);
    this.#isReasonNew ||= this.#reason !== undefined && alert.notEvaluated !== this.#reason;
    if (!this.#inTransition.has(alert.id)) this.#watch(alert);
    return true;
  }

  remove(id: string): void {
    this.#alerts.delete(id);
    this.#inTransition.delete(id);
  }

  /** The transitions that a value causes. A value older than the last one causes none. */
  see(observation: Observation): readonly StartedTransition[] {
    if (observation.at < this.#newestAt) return [];
    this.#newestAt = observation.at;
    for (const kept of this.#inTransition.values()) {
      if (kept.length >= maxKept) kept.shift();
      kept.push(observation);
    }
    const started: StartedTransition[] = [];
    for (const id of this.#rises.take(observation.value))
      this.#reach(id, { observation, side: 'atLeast', started });
    for (const id of this.#falls.take(-observation.value))
      this.#reach(id, { observation, side: 'atMost', started });
    return started;
  }

  /**
   * Called when a transition was stored, or refused because the alert had changed; `alert` is its present row. Returns the
   * next transition, if a value seen meanwhile causes one. `recheck`: test the value of the transition again.
   */
  settle(
    { alert: { id }, observation }: StartedTransition,
    alert: Alert,
    recheck: boolean,
  ): StartedTransition | undefined {
    const kept = this.#inTransition.get(id);
    const held = this.#alerts.get(id);
    if (kept === undefined || held === undefined) return undefined;
    this.#inTransition.delete(id);
    const current = alert.version > held.version ? alert : held;
    this.#alerts.set(id, current);
    const values = recheck ? [observation, ...kept] : kept;
    for (const [index, each] of values.entries()) {
      const transition = transitionOf(current, each);
      if (transition === undefined) continue;
      this.#inTransition.set(id, values.slice(index + 1));
      return { subject: this, alert: current, transition, observation: each };
    }
    this.#watch(current);
    return undefined;
  }

  /** Sets why the value is unavailable at present; null when it is available. Returns whether that is new. */
  setReason(reason: NotEvaluated | null): boolean {
    if (this.#reason === reason) return false;
    this.#reason = reason;
    this.#isReasonNew = true;
    return true;
  }

  /** Alerts that do not store the latest reason yet. */
  reasonToStore(): { readonly ids: readonly string[]; readonly reason: NotEvaluated | null } | undefined {
    const reason = this.#reason;
    if (!this.#isReasonNew || reason === undefined) return undefined;
    const ids = [...this.#alerts.values()]
      .filter((alert) => alert.notEvaluated !== reason)
      .map(({ id }) => id);
    return { ids, reason };
  }

  /** Records that alerts now store the latest reason. */
  reasonStored(ids: readonly string[], reason: NotEvaluated | null): void {
    for (const id of ids) {
      const alert = this.#alerts.get(id);
      if (alert !== undefined) this.#alerts.set(id, { ...alert, notEvaluated: reason });
    }
    this.#isReasonNew = this.#reason !== reason;
  }

  #reach(
    id: string,
    {
      observation,
      side,
      started,
    }: { observation: Observation; side: 'atLeast' | 'atMost'; started: StartedTransition[] },
  ): void {
    const alert = this.#alerts.get(id);
    if (alert === undefined || this.#inTransition.has(id)) return;
    const transition = transitionOf(alert, observation);
    if (transition === undefined) {
      this.#watch(alert, side);
      return;
    }
    this.#inTransition.set(id, []);
    started.push({ subject: this, alert, transition, observation });
  }

  #watch(alert: Alert, side?: 'atLeast' | 'atMost'): void {
    const { atLeast, atMost } = triggersOf(alert);
    if (atLeast !== undefined && side !== 'atMost') this.#rises.add(atLeast, alert.id, alert.version);
    if (atMost !== undefined && side !== 'atLeast') this.#falls.add(-atMost, alert.id, alert.version);
  }
}

/** No sweep below this number of entries. */
const fewEntries = 64;

/**
 * Alerts on one value, in a heap by the level at which they react, the first to be reached on top: a value that reaches none of
 * them costs one comparison. An alert that has changed leaves an outdated entry; such entries are dropped when they come up, or
 * all at once when there are too many.
 */
export class LevelHeap {
  /** Whether the alert still has this version. */
  readonly #isCurrent: (id: string, version: number) => boolean;
  #entries: { readonly level: Level; readonly id: string; readonly version: number }[] = [];
  #sweepAt = fewEntries;

  constructor({ isCurrent }: { readonly isCurrent: (id: string, version: number) => boolean }) {
    this.#isCurrent = isCurrent;
  }

  /** Number of entries, including outdated ones. */
  get size(): number {
    return this.#entries.length;
  }

  add(level: Level, id: string, version: number): void {
    if (this.#entries.length >= this.#sweepAt) this.#sweep();
    this.#entries.push({ level, id, version });
    this.#rise(this.#entries.length - 1);
  }

  /** Removes and returns the alerts whose level is `value` or less. */
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

interface IndexDeps {
  readonly limit: number;
  readonly onStart: (subject: Subject) => void;
  readonly onEnd: (subject: Subject) => void;
}

/** The alerts that this process watches, by their subjects. Bounded: at the limit no further alerts are added. */
export class AlertIndex {
  readonly #deps: IndexDeps;
  readonly #subjects = new Map<string, Subject>();
  readonly #subjectOf = new Map<string, Subject>();

  constructor(deps: IndexDeps) {
    this.#deps = deps;
  }

  /** Number of alerts. */
  get size(): number {
    return this.#subjectOf.size;
  }

  get isFull(): boolean {
    return this.#subjectOf.size >= this.#deps.limit;
  }

  has(id: string): boolean {
    return this.#subjectOf.has(id);
  }

  /** Adds or updates an alert. Returns its subject if something has changed and it is watched. */
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
      this.#deps.onStart(subject);
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
