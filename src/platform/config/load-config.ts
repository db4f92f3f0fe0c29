import { priceSourceOf } from './price-source.ts';
import { renamedSettings } from './renamed-settings.ts';
import { settings, type SettingName, type SettingValues } from './settings.ts';

/** How to reach Postgres. */
export interface DatabaseConfig {
  readonly connectionString?: string;
  readonly host?: string;
  readonly port?: number;
  readonly user?: string;
  readonly password?: string;
  readonly database?: string;
  readonly ssl: false | { readonly rejectUnauthorized: boolean };
}

/** The validated configuration of a process. Frozen. */
export interface Config extends SettingValues {
  /** Undefined when neither DATABASE_URL nor DB_HOST is given. */
  readonly database: DatabaseConfig | undefined;
}

/** Lists every wrong setting at once. */
export class ConfigError extends Error {
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(
      `The configuration has ${problems.length} problem(s):\n${problems.map((line) => `  - ${line}`).join('\n')}`,
    );
    this.name = 'ConfigError';
    this.problems = problems;
  }
}

type Environment = Readonly<Record<string, string | undefined>>;

const minimumSecretLength = 32;
/** The value in `.env.example`, which is refused in production. */
export const exampleSecret = 'change-me-to-at-least-32-random-characters';

/**
 * Reads the settings from the environment. An empty variable counts as absent.
 * @throws {ConfigError} that names every wrong setting.
 */
export function loadConfig(environment: Environment = process.env): Config {
  const problems = problemsOfRenamed(environment);
  const values = Object.fromEntries(
    (Object.keys(settings) as SettingName[]).map((name) => [
      name,
      readSetting(name, givenOf(name, environment), problems),
    ]),
  ) as unknown as SettingValues;
  problems.push(...problemsOfCombination(values), ...problemsOfPorts(values, environment));
  if (problems.length > 0) throw new ConfigError(problems);
  return Object.freeze({ ...values, database: databaseOf(values) });
}

/** Proxies are known to other programs in small letters too. */
function givenOf(name: SettingName, environment: Environment): string | undefined {
  return environment[name] ?? (name.endsWith('_PROXY') ? environment[name.toLowerCase()] : undefined);
}

function readSetting(name: SettingName, given: string | undefined, problems: string[]): unknown {
  const { defaultText, parse } = settings[name];
  const source = given === undefined || given.trim() === '' ? defaultText : given.trim();
  if (source === undefined) return undefined;
  try {
    return parse(source);
  } catch (error) {
    problems.push(`${name} ${(error as Error).message}`);
    return undefined;
  }
}

/** Names the setting only, not its value: it may be a secret. */
function problemsOfRenamed(environment: Environment): string[] {
  return Object.entries(renamedSettings)
    .filter(([old]) => (environment[old] ?? '').trim() !== '')
    .map(([old, { name, unit }]) => {
      const how = unit === undefined ? '' : `, with a unit behind the number (${unit})`;
      return `${old} is now ${name}${how}: rename it`;
    });
}

function problemsOfCombination(values: SettingValues): string[] {
  const problems: string[] = [];
  problems.push(...problemsOfSecrets(values));
  if (values.PROVIDER === 'replay' && values.REPLAY_DIR === undefined) {
    problems.push('REPLAY_DIR is required when PROVIDER is replay');
  }
  problems.push(...problemsOfSources(values));
  if (values.COINGECKO_PLAN !== 'keyless' && values.COINGECKO_API_KEY === undefined) {
    problems.push(`COINGECKO_API_KEY is required when COINGECKO_PLAN is ${values.COINGECKO_PLAN}`);
  }
  if (values.APP_ENV === 'production') problems.push(...problemsOfProduction(values));
  return problems;
}

const minDistinctCharacters = 10;
/** What the secrets of tutorials, templates and documentations have in them, and random characters do not. */
const published =
  /change.?(me|this|it)|your.{0,40}(secret|key)|(super|ultra|my|jwt).{0,40}(secret|secure)|secret.?(key|token)|at.least.\d+|password|123456|abcdef/i;
const minimumTokenLength = 16;

/** Texts of problems name the setting and never its value. */
function problemsOfSecrets(values: SettingValues): string[] {
  const problems: string[] = [];
  for (const name of ['JWT_SECRET', 'JWT_SECRET_PREVIOUS', 'WEBHOOK_SECRET'] as const) {
    const secret = values[name];
    if (secret === undefined) continue;
    if (secret.length < minimumSecretLength)
      problems.push(`${name} must have at least ${minimumSecretLength} characters`);
    else if (new Set(secret).size < minDistinctCharacters)
      problems.push(`${name} repeats too few characters to be random`);
    if (secret === exampleSecret) problems.push(`${name} still has the value of .env.example`);
  }
  if (values.JWT_SECRET_PREVIOUS !== undefined && values.JWT_SECRET_PREVIOUS === values.JWT_SECRET)
    problems.push('JWT_SECRET_PREVIOUS must not be the same as JWT_SECRET');
  if (values.JWT_SECRET_PREVIOUS !== undefined && values.JWT_SECRET === undefined)
    problems.push('JWT_SECRET is required when JWT_SECRET_PREVIOUS is given');
  if (values.METRICS_TOKEN !== undefined && values.METRICS_TOKEN.length < minimumTokenLength)
    problems.push(`METRICS_TOKEN must have at least ${minimumTokenLength} characters`);
  return problems;
}

/** The market's default port gives way by itself; one that was asked for does not. */
function problemsOfPorts(values: SettingValues, environment: Environment): string[] {
  const { PORT, MARKET_PORT } = values;
  const isRequested = (environment['MARKET_PORT'] ?? '').trim() !== '';
  // A port that could not be read is no number here, and is named already.
  const clash = isRequested && MARKET_PORT > 0 && PORT === MARKET_PORT && priceSourceOf(values).embedded;
  return clash ? [`MARKET_PORT must not be the PORT of the API (${PORT})`] : [];
}

function problemsOfSources({ PROVIDER, ...values }: SettingValues): string[] {
  const problems: string[] = [];
  if (PROVIDER === 'recorded' && values.HTTP_REPLAY_DIR === undefined)
    problems.push('HTTP_REPLAY_DIR is required when PROVIDER is recorded');
  const used = [PROVIDER, ...values.PROVIDER_FALLBACKS];
  if (
    used.includes('coinmarketcap') &&
    values.COINMARKETCAP_VERSION === 'v2' &&
    values.COINMARKETCAP_API_KEY === undefined
  )
    problems.push('COINMARKETCAP_API_KEY is required when COINMARKETCAP_VERSION is v2');
  return problems;
}

function problemsOfProduction(values: SettingValues): string[] {
  const problems: string[] = [];
  if (values.DATABASE_URL === undefined && values.DB_HOST === undefined) {
    problems.push('DATABASE_URL (or DB_HOST) is required in production');
  }
  for (const name of ['REDIS_URL', 'JWT_SECRET', 'PROVIDER'] as const) {
    if (values[name] === undefined) problems.push(`${name} is required in production`);
  }
  for (const name of ['JWT_SECRET', 'JWT_SECRET_PREVIOUS', 'WEBHOOK_SECRET'] as const) {
    const secret = values[name];
    if (secret !== undefined && secret !== exampleSecret && published.test(secret))
      problems.push(`${name} looks like an example secret; use random characters`);
  }
  return problems;
}

function databaseOf(values: SettingValues): DatabaseConfig | undefined {
  const ssl =
    values.DB_SSL_MODE === 'disable' ? false : { rejectUnauthorized: values.DB_SSL_MODE === 'verify-full' };
  if (values.DATABASE_URL !== undefined) return { connectionString: values.DATABASE_URL, ssl };
  if (values.DB_HOST === undefined) return undefined;
  return {
    host: values.DB_HOST,
    port: values.DB_PORT,
    user: values.DB_USER,
    ...(values.DB_PASSWORD === undefined ? {} : { password: values.DB_PASSWORD }),
    database: values.DB_NAME,
    ssl,
  };
}
