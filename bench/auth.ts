/**
 * What access costs. A request with a token against the same request on an open route, in one process, in interleaved rounds;
 * and cached reads of a whole stack while people log in, against the same reads while nobody does.
 */
import { v7 as uuidv7 } from 'uuid';
import { openDatabase } from '../db/connection.ts';
import { createPasswords } from '../src/features/accounts/password-hashing.ts';
import { sleep } from '../src/platform/concurrency/sleep.ts';
import { newUser } from '../test/support/api-client.ts';
import { stackSecret, type Stack } from '../test/support/stack.ts';
import { runBench, type Bench, type Row } from './support/bench.ts';
import { fetchBulk } from './support/bulk.ts';
import { median, ms, percentile, times } from './support/figures.ts';
import { load, loadProgram, type LoadResult } from './support/load.ts';
import { cpuMicros, pin, startBare } from './support/procs.ts';

/** Many short rounds: what disturbs the machine then disturbs both sides alike. */
const rounds = 15;
const secondsEach = 1;
const warmUpSeconds = 8;
const connections = 50;
const serverCore = 0;
const loadCore = 1;
/** Enough for any load, and small enough that the allowances are fetched about once a second. */
const requestsPerMinute = '3000000';

const loginRounds = 7;
const loginSecondsEach = 3;
const readConnections = 10;
const loginsPerSecond = 20;
/** Hashing is in full swing before the reads begin. */
const leadMs = 500;
const accounts = 50;
const cost = 11;
const password = 'correct horse 1';

const production = {
  APP_ENV: 'production',
  NODE_ENV: 'production',
  QUOTE_TTL: '3600s',
  BCRYPT_COST: String(cost),
  RATE_LIMIT_USER: requestsPerMinute,
  RATE_LIMIT_ADDRESS: requestsPerMinute,
  // Every account logs in from an address of its own, as people do.
  TRUSTED_PROXIES: '127.0.0.1',
};

interface Contender {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly results: (LoadResult & { readonly cpuMicrosEach: number })[];
}

async function compareRequests(bench: Bench, stack: Stack, authorization: string): Promise<Row[]> {
  const server = await startBare('auth-server', {
    ...production,
    PROVIDER: 'simulated',
    DATABASE_URL: stack.databaseUrl,
    REDIS_URL: stack.redisUrl,
    REDIS_KEY_PREFIX: stack.redisPrefix,
    JWT_SECRET: stackSecret,
    LOG_FILE: '/dev/null',
  });
  bench.onEnd(() => server.stop());
  const verified: Contender = {
    url: `${server.url}/api/v1/crypto/bitcoin`,
    headers: { authorization },
    results: [],
  };
  const open: Contender = { url: `${server.url}/api/v1/open/bitcoin`, headers: {}, results: [] };
  if (!pin(server.pid, serverCore)) bench.say('the server is not pinned: it shares its core with the load');

  const measure = async ({ url, headers, results }: Contender, seconds: number): Promise<void> => {
    const before = cpuMicros(server.pid);
    const result = await load({ url, headers, seconds, connections, core: loadCore });
    if (result.failures > 0) throw new Error(`${result.failures} requests to ${url} failed`);
    results.push({ ...result, cpuMicrosEach: (cpuMicros(server.pid) - before) / result.requests });
  };
  for (const each of [verified, open]) {
    await measure(each, warmUpSeconds);
    each.results.length = 0;
  }
  for (let round = 0; round < rounds; round++) {
    // Whoever comes second finds the machine as the first has left it, so they take turns.
    for (const each of round % 2 === 0 ? [verified, open] : [open, verified])
      await measure(each, secondsEach);
  }
  return requestRows(verified, open);
}

function requestRows(verified: Contender, open: Contender): Row[] {
  const ratio = (key: 'requestsPerSecond' | 'cpuMicrosEach'): number =>
    median(verified.results.map((result, round) => result[key] / (open.results[round]?.[key] ?? NaN)));
  const rowOf = (name: string, { results }: Contender): Row => {
    const [rate, cpu, p99] = (['requestsPerSecond', 'cpuMicrosEach', 'p99Ms'] as const).map((key) =>
      median(results.map((result) => result[key])),
    );
    return {
      what: `${name}: requests/s, CPU a request, p99`,
      result: `${(rate ?? NaN).toFixed(0)}, ${(cpu ?? NaN).toFixed(1)} µs, ${ms(p99 ?? NaN)}`,
    };
  };
  return [
    rowOf('verified', verified),
    rowOf('open', open),
    { what: 'requests/s, verified : open', result: times(ratio('requestsPerSecond')), requested: '>= 0.9 x' },
    { what: 'CPU a request, verified : open', result: times(ratio('cpuMicrosEach')) },
  ];
}

/** How logins were answered. */
interface Logins {
  readonly latenciesMs: number[];
  /** Number by status; 0 for no answer. */
  readonly statuses: Map<number, number>;
}

/** Accounts that differ in all but the password, whose hash is made once. */
async function makeAccounts({ databaseUrl }: Stack): Promise<string[]> {
  const passwords = createPasswords({ cost });
  const hash = await passwords.hash(password);
  await passwords.close();
  const names = Array.from({ length: accounts }, (_, index) => `login-${index}-${uuidv7()}`);
  const knex = openDatabase({ database: { connectionString: databaseUrl, ssl: false }, poolSize: 2 });
  try {
    await knex('users').insert(
      names.map((username) => ({
        id: uuidv7(),
        username,
        email: `${username}@example.com`,
        password_hash: hash,
      })),
    );
  } finally {
    await knex.destroy();
  }
  return names.map((name) => `${name}@example.com`);
}

/** Begins to log in at a steady rate; returns how to stop, which resolves when every login was answered. */
function startLogins(apiUrl: string, emails: readonly string[], into: Logins): () => Promise<void> {
  const underWay = new Set<Promise<void>>();
  let next = 0;
  const logIn = async (index: number): Promise<void> => {
    const startedAt = performance.now();
    const status = await fetch(`${apiUrl}/api/v1/auth/login`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'x-forwarded-for': `198.51.100.${index + 1}` },
      body: JSON.stringify({ email: emails[index], password }),
      signal: AbortSignal.timeout(30_000),
    }).then(
      async (response) => {
        await response.arrayBuffer();
        return response.status;
      },
      () => 0,
    );
    into.statuses.set(status, (into.statuses.get(status) ?? 0) + 1);
    if (status === 200) into.latenciesMs.push(performance.now() - startedAt);
  };
  const timer = setInterval(() => {
    const login = logIn(next++ % emails.length).finally(() => underWay.delete(login));
    underWay.add(login);
  }, 1_000 / loginsPerSecond);
  return async () => {
    clearInterval(timer);
    await Promise.all(underWay);
  };
}

async function compareReads(bench: Bench, stack: Stack, authorization: string): Promise<Row[]> {
  const [api] = stack.apis;
  if (api === undefined) throw new Error('no API process');
  const emails = await makeAccounts(stack);
  const logins: Logins = { latenciesMs: [], statuses: new Map() };
  const read = async (seconds = loginSecondsEach): Promise<LoadResult> => {
    const url = `${api.url}/api/v1/crypto/bitcoin`;
    const result = await load({
      url,
      headers: { authorization },
      seconds,
      connections: readConnections,
      core: loadCore,
    });
    if (result.failures > 0) throw new Error(`${result.failures} reads failed`);
    return result;
  };
  const readDuringLogins = async (): Promise<LoadResult> => {
    const stop = startLogins(api.url, emails, logins);
    await sleep(leadMs);
    const result = await read();
    await stop();
    return result;
  };

  await read(warmUpSeconds);
  await readDuringLogins();
  logins.latenciesMs.length = 0;
  logins.statuses.clear();
  const quiet: LoadResult[] = [];
  const busy: LoadResult[] = [];
  for (let round = 0; round < loginRounds; round++) {
    quiet.push(await read());
    busy.push(await readDuringLogins());
    bench.say(
      `reads, round ${round + 1}: p99 ${ms(quiet.at(-1)?.p99Ms ?? NaN)}, with logins ${ms(busy.at(-1)?.p99Ms ?? NaN)}`,
    );
  }
  return readRows({ quiet, busy, logins });
}

interface ReadFigures {
  readonly quiet: readonly LoadResult[];
  readonly busy: readonly LoadResult[];
  readonly logins: Logins;
}

function readRows({ quiet, busy, logins: { latenciesMs, statuses } }: ReadFigures): Row[] {
  const rowOf = (name: string, results: readonly LoadResult[]): Row => ({
    what: `reads, ${name}: requests/s, p50, p99`,
    result: [
      median(results.map(({ requestsPerSecond }) => requestsPerSecond)).toFixed(0),
      ms(median(results.map(({ p50Ms }) => p50Ms))),
      ms(median(results.map(({ p99Ms }) => p99Ms))),
    ].join(', '),
  });
  const ratio = median(busy.map(({ p99Ms }, round) => p99Ms / (quiet[round]?.p99Ms ?? NaN)));
  const all = [...statuses.values()].reduce((sum, count) => sum + count, 0);
  const others = [...statuses]
    .filter(([status]) => status !== 200)
    .map(([status, count]) => `${count} x ${status}`);
  return [
    rowOf('nobody logs in', quiet),
    rowOf(`${loginsPerSecond} logins/s`, busy),
    { what: 'p99 of reads, with logins : without', result: times(ratio), requested: '<= 2 x' },
    {
      what: `logins (bcrypt cost ${cost}) answered 200`,
      result: [`${statuses.get(200) ?? 0} of ${all}`, ...others].join(', '),
    },
    {
      what: 'logins answered 200: p50, p99',
      result: `${ms(median(latenciesMs))}, ${ms(percentile(latenciesMs, 0.99))}`,
    },
  ];
}

await runBench(`Access, one API process, ${loadProgram}`, async (bench) => {
  const stack = await bench.stack({ apis: 1, workers: 1, environment: production });
  const user = await newUser(stack.apis[0]?.url ?? '');
  await fetchBulk(user, ['bitcoin']);
  const authorization = `Bearer ${user.token}`;
  const requests = await compareRequests(bench, stack, authorization);
  return [...requests, ...(await compareReads(bench, stack, authorization))];
});
