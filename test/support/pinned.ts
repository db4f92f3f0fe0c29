/**
 * Snapshots of what callers and operators rely on, under test/fixtures/contract. `npm run pin` writes them anew; otherwise what
 * is there now has to be what was pinned, and every difference that is meant is named in CHANGELOG.md.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { projectRoot } from '../../embedded/project-root.ts';

type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

/** Most differences that one message shows. */
const maxShown = 200;

/**
 * Compares with the snapshot of that name, or writes it.
 * @throws {Error} with the differences, a line for each value: `-` was pinned, `+` is there now.
 */
export async function expectPinned(name: string, value: unknown): Promise<void> {
  const path = join(projectRoot, 'test/fixtures/contract', `${name}.json`);
  const now = JSON.parse(JSON.stringify(value)) as Json;
  if (process.env['PIN'] === '1') {
    await writeFile(path, `${JSON.stringify(now, null, 1)}\n`);
    return;
  }
  const differences = differencesOf(JSON.parse(await readFile(path, 'utf8')) as Json, now);
  if (differences.length === 0) return;
  const shown = differences.slice(0, maxShown).join('\n');
  const more = differences.length > maxShown ? `\n… and ${differences.length - maxShown} more` : '';
  throw new Error(
    `${name} is not what test/fixtures/contract/${name}.json has pinned. If this is meant: npm run pin, and a line in ` +
      `CHANGELOG.md.\n${shown}${more}`,
  );
}

/** Lines of what is in one value and not in the other; none when they are equal. */
function differencesOf(pinned: Json, now: Json): string[] {
  const [before, after] = [linesOf(pinned), linesOf(now)];
  const lost = [...before].filter(([path, text]) => after.get(path) !== text);
  const added = [...after].filter(([path, text]) => before.get(path) !== text);
  return [
    ...lost.map(([path, text]) => `- ${path}: ${text}`),
    ...added.map(([path, text]) => `+ ${path}: ${text}`),
  ];
}

/** Every leaf by its path. An empty list or object is a leaf. */
function linesOf(value: Json, path = '$', lines = new Map<string, string>()): Map<string, string> {
  const children = value === null || typeof value !== 'object' ? [] : Object.entries(value);
  if (children.length === 0) lines.set(path, JSON.stringify(value));
  for (const [key, child] of children) linesOf(child, `${path}.${key}`, lines);
  return lines;
}

/** Values that are others in every run, by the key they stand under: secrets, and figures of a market that walks. */
const volatile = {
  secret: /^(token|refresh_token|ticket|key|secret|previous_secret|prefix|epoch|request_id|event_id)$/,
  statistic:
    /price|^(usd|eur|btc|value|total_value|unrealised.*|weight|last_value|market_(cap|value).*|volume.*|change.*|.*_change.*|ath.*|atl.*|fully_diluted_valuation|high_24h|low_24h|total_volume|.*supply.*|age_.*|.*_seconds|seq|memory.*|took.*|entries|fresh|stale|hits|misses|used|available|spent.*|left|current_.*|upstream_calls|affordable.*|interactive_reserve|observations|fetch_time|market_value.*|total_gain.*|api_key_current.*|.*monthly_call_credit|requests|jobs|idr|total_market_cap|gain|xirr|twr)$/,
} as const;

/** Longer lists show how they begin. */
const maxElements = 3;
const secondMs = 1_000;
const nearMs = 800 * 86_400_000;

interface VolatileOptions {
  /** Figures stay, and lists are whole: for what is computed of the same numbers every time. */
  readonly exact?: boolean;
}

/** What stays the same from run to run: ids, recent times, secrets and figures of the market become marks. */
export function withoutVolatile(value: unknown, { exact = false }: VolatileOptions = {}): Json {
  return withoutVolatileUnder('', value, exact);
}

function withoutVolatileUnder(key: string, value: unknown, exact: boolean): Json {
  // Whether it can be told depends on how far other jobs are.
  if (key === 'eta_seconds') return '<figure>';
  // Of the coins that trend, in a market that walks.
  if (key === 'item') return shapeOf(value);
  if (Array.isArray(value)) {
    const shown = exact ? value : value.slice(0, maxElements);
    return shown.map((each) => withoutVolatileUnder(key, each, exact));
  }
  if (value !== null && typeof value === 'object') {
    // Figures by currency have the name of the figure above them.
    const below = (name: string): string => (volatile.statistic.test(key) ? key : name);
    return Object.fromEntries(
      Object.entries(value).map(([name, child]) => [
        exact ? name : markRecent(name),
        withoutVolatileUnder(below(name), child, exact),
      ]),
    );
  }
  if (typeof value === 'number') return markNumber(value, key, exact);
  if (typeof value !== 'string') return typeof value === 'boolean' ? value : null;
  if (volatile.secret.test(key) && value !== '') return '<secret>';
  if (exact) return markTimes(value);
  // A whole number was given to us: prices that walk have fractions.
  if (volatile.statistic.test(key) && /^(-?\d+\.\d+s?|\$[\d,.]+)$/.test(value)) return '<figure>';
  return markRecent(value);
}

/** The members of a value, without what they say. */
function shapeOf(value: unknown): Json {
  if (value === null || typeof value !== 'object') return '<value>';
  return Object.fromEntries(Object.entries(value).map(([name, child]) => [name, shapeOf(child)]));
}

function markNumber(value: number, key: string, exact: boolean): Json {
  if (!exact && (volatile.statistic.test(key) || !Number.isInteger(value))) return '<figure>';
  // A price or a market capitalisation may be as large as a time, but is rarely whole.
  if (!Number.isInteger(value)) return value;
  if (isNear(value)) return '<ms>';
  return isNear(value * secondMs) ? '<s>' : value;
}

function isNear(ms: number): boolean {
  return Math.abs(ms - Date.now()) < nearMs;
}

/** ISO 8601 with time of day. */
function markTimes(text: string): string {
  return text.replaceAll(/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z/g, (at) =>
    isNear(Date.parse(at)) ? '<time>' : at,
  );
}

function markRecent(text: string): string {
  return markTimes(text)
    .replaceAll(/[\da-f]{8}-[\da-f]{4}-[\da-f]{4}-[\da-f]{4}-[\da-f]{12}/g, '<id>')
    .replaceAll(/\d{4}-\d\d-\d\d/g, (day) => (isNear(Date.parse(day)) ? '<day>' : day))
    .replaceAll(/\d+ of \d+ calls/g, '<figure> calls')
    .replaceAll(/127\.0\.0\.1:\d+/g, '<address>');
}

/** Metrics by name. */
export type SeenMetrics = Map<string, { readonly type: string; readonly labels: Set<string> }>;

/** Adds what a text of Prometheus tells: the type of each metric, and names of labels of its samples. */
export function noteMetrics(seen: SeenMetrics, text: string): void {
  let current: { type: string; labels: Set<string> } | undefined;
  for (const line of text.split('\n')) {
    const [, name = '', type = ''] = /^# TYPE (\S+) (\S+)$/.exec(line) ?? [];
    if (name !== '') {
      current = seen.get(name) ?? { type, labels: new Set() };
      seen.set(name, current);
    }
    const labels = line.startsWith('#') ? undefined : /\{(.*)\}/.exec(line)?.[1];
    for (const [, label = ''] of labels?.matchAll(/(\w+)="(?:[^"\\]|\\.)*"/g) ?? [])
      current?.labels.add(label);
  }
}
