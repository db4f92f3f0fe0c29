import { isIP } from 'node:net';

/**
 * One setting: how its text becomes a value, its default, and its description for operators. The table of settings is the only
 * source of validation, types, `.env.example` and the documentation.
 */
export interface Setting<T> {
  readonly description: string;
  /** Text of the default as an operator would write it; undefined where there is none. */
  readonly defaultText: string | undefined;
  /** What a legal value looks like, in words. */
  readonly expects: string;
  /** True for a value that must never be logged. */
  readonly sensitive: boolean;
  /** @throws {Error} with a sentence about what is wrong. */
  readonly parse: (text: string) => T;
}

type Optional<T, D extends string | undefined> = D extends string ? T : T | undefined;

interface SettingSpec<D extends string | undefined> {
  readonly description: string;
  readonly default?: D;
  readonly sensitive?: boolean;
}

function setting<T, D extends string | undefined>(
  spec: SettingSpec<D>,
  expects: string,
  parse: (text: string) => T,
): Setting<Optional<T, D>> {
  return {
    description: spec.description,
    defaultText: spec.default,
    expects,
    sensitive: spec.sensitive ?? false,
    parse: parse,
  };
}

/** Any text that is not empty. */
export function text<const D extends string | undefined = undefined>(
  spec: SettingSpec<D>,
): Setting<Optional<string, D>> {
  return setting(spec, 'text', (value) => value);
}

/** A whole number within bounds. */
export function integer<const D extends string | undefined = undefined>(
  spec: SettingSpec<D> & { readonly min: number; readonly max: number },
): Setting<Optional<number, D>> {
  const expects = `a whole number from ${spec.min} to ${spec.max}`;
  return setting(spec, expects, (value) => {
    const number = Number(value);
    if (!/^-?\d+$/.test(value) || number < spec.min || number > spec.max)
      throw new Error(`must be ${expects}`);
    return number;
  });
}

/** A number, fractions allowed, within bounds. */
export function decimal<const D extends string | undefined = undefined>(
  spec: SettingSpec<D> & { readonly min: number; readonly max: number },
): Setting<Optional<number, D>> {
  const expects = `a number from ${spec.min} to ${spec.max}`;
  return setting(spec, expects, (value) => {
    const number = Number(value);
    if (!/^-?\d+(\.\d+)?$/.test(value) || number < spec.min || number > spec.max)
      throw new Error(`must be ${expects}`);
    return number;
  });
}

/** One of a closed list of words. */
export function oneOf<const V extends string, const D extends string | undefined = undefined>(
  values: readonly V[],
  spec: SettingSpec<D>,
): Setting<Optional<V, D>> {
  const expects = `one of ${values.join(', ')}`;
  return setting(spec, expects, (value) => {
    const found = values.find((candidate) => candidate === value);
    if (found === undefined) throw new Error(`must be ${expects}`);
    return found;
  });
}

/** A comma-separated list of words from a closed list, at least one; duplicates are dropped. */
export function someOf<const V extends string, const D extends string | undefined = undefined>(
  values: readonly V[],
  spec: SettingSpec<D>,
): Setting<Optional<readonly V[], D>> {
  const expects = `a comma-separated list of ${values.join(', ')}`;
  return setting(spec, expects, (value) => {
    const parts = partsOf(value);
    const unknown = parts.filter((part) => !values.some((candidate) => candidate === part));
    if (parts.length === 0 || unknown.length > 0) throw new Error(`must be ${expects}${notOf(unknown)}`);
    return values.filter((candidate) => parts.includes(candidate));
  });
}

/** A comma-separated list, possibly empty, of words from a closed list in order of priority; duplicates are dropped. */
export function listOf<const V extends string, const D extends string | undefined = undefined>(
  values: readonly V[],
  spec: SettingSpec<D>,
): Setting<Optional<readonly V[], D>> {
  const expects = `a comma-separated list of ${values.join(', ')}`;
  return setting(spec, expects, (value) => {
    const parts = [...new Set(partsOf(value))];
    const known = parts.flatMap((part) => values.find((candidate) => candidate === part) ?? []);
    if (known.length < parts.length) throw new Error(`must be ${expects}`);
    return known;
  });
}

/** A comma-separated list, possibly empty, of origins as a browser sends them, or `*`. */
export function origins<const D extends string | undefined = undefined>(
  spec: SettingSpec<D>,
): Setting<Optional<readonly string[], D>> {
  const expects = 'a comma-separated list of origins (scheme://host[:port], no path), or *';
  return setting(spec, expects, (value) => {
    const parts = partsOf(value);
    const wrong = parts.filter((part) => part !== '*' && !isOrigin(part));
    if (wrong.length > 0) throw new Error(`must be ${expects}${notOf(wrong)}`);
    return parts;
  });
}

/** A web origin must be written as browsers write it, or it would never match; other schemes have no such form. */
function isOrigin(value: string): boolean {
  if (!/^[a-z][a-z\d+.-]*:\/\/[^\s/?#@]+$/.test(value) || !URL.canParse(value)) return false;
  return !/^https?:/.test(value) || new URL(value).origin === value;
}

/** A comma-separated list, possibly empty, of IP addresses, networks (`10.0.0.0/8`), or `loopback` for this machine. */
export function addresses<const D extends string | undefined = undefined>(
  spec: SettingSpec<D>,
): Setting<Optional<readonly string[], D>> {
  const expects = 'a comma-separated list of IP addresses, networks such as 10.0.0.0/8, or loopback';
  return setting(spec, expects, (value) => {
    const parts = partsOf(value);
    const wrong = parts.filter((part) => part !== 'loopback' && !isNetwork(part));
    if (wrong.length > 0) throw new Error(`must be ${expects}${notOf(wrong)}`);
    return parts;
  });
}

function isNetwork(value: string): boolean {
  const [address = '', bits, ...rest] = value.split('/');
  const version = isIP(address);
  if (version === 0 || rest.length > 0) return false;
  // A network of no bits is the whole internet: nobody's proxies.
  return bits === undefined || (/^[1-9]\d{0,2}$/.test(bits) && Number(bits) <= (version === 4 ? 32 : 128));
}

/** Blanks around the parts are dropped, and so are empty parts. */
function partsOf(value: string): string[] {
  return value
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '');
}

function notOf(wrong: readonly string[]): string {
  return wrong.length === 0 ? '' : `, not ${wrong.join(', ')}`;
}

/** An absolute URL with one of the given schemes. */
export function url<const D extends string | undefined = undefined>(
  schemes: readonly string[],
  spec: SettingSpec<D>,
): Setting<Optional<string, D>> {
  const expects = `a URL that starts with ${schemes.map((scheme) => `${scheme}://`).join(' or ')}`;
  return setting(spec, expects, (value) => {
    if (!URL.canParse(value) || !schemes.includes(new URL(value).protocol.slice(0, -1))) {
      throw new Error(`must be ${expects}`);
    }
    return value;
  });
}

const msPerUnit = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

/** Milliseconds of a duration such as `250ms`, `45s` or `7d`; undefined for anything else. */
function msOf(value: string): number | undefined {
  const match = /^(0|[1-9]\d{0,8})(ms|[smhd])$/.exec(value);
  return match === null ? undefined : Number(match[1]) * msPerUnit[match[2] as keyof typeof msPerUnit];
}

/** A duration such as `45s`, `15m`, `12h`, `7d` within bounds; the value is in seconds, and whole. */
export function duration<const D extends string | undefined = undefined>(
  spec: SettingSpec<D> & { readonly minSeconds?: number; readonly maxSeconds?: number },
): Setting<Optional<number, D>> {
  const { minSeconds = 1, maxSeconds = Infinity } = spec;
  const least = minSeconds > 1 ? `, at least ${minSeconds}s` : '';
  const most = maxSeconds < Infinity ? `, at most ${maxSeconds}s` : '';
  const expects = `a duration such as 45s, 15m, 12h or 7d${least}${most}`;
  return setting(spec, expects, (value) => {
    const seconds = value.endsWith('ms') ? NaN : (msOf(value) ?? NaN) / 1_000;
    if (!(seconds >= minSeconds && seconds <= maxSeconds)) throw new Error(`must be ${expects}`);
    return seconds;
  });
}

/** A duration of which parts of a second count, such as `250ms` or `8s`, within bounds; the value is in milliseconds. */
export function milliseconds<const D extends string | undefined = undefined>(
  spec: SettingSpec<D> & { readonly minMs: number; readonly maxMs: number },
): Setting<Optional<number, D>> {
  const expects = `a duration such as 250ms or 8s, from ${spec.minMs}ms to ${spec.maxMs}ms`;
  return setting(spec, expects, (value) => {
    const ms = msOf(value);
    if (ms === undefined || ms < spec.minMs || ms > spec.maxMs) throw new Error(`must be ${expects}`);
    return ms;
  });
}
