/**
 * Attacks on logins and limits: what a crowd of guesses costs, what it learns, and who is kept out by it. Hashes are counted,
 * because they are what costs.
 */
import { Agent, request } from 'node:http';
import { expect } from 'chai';
import { startAccessApi, type AccessApi, type TestEnvironment } from '../support/access.ts';
import { waitFor } from '../../support/wait-for.ts';
import { as, newKey, newPerson, password, type Answer, type Person } from '../support/attack.ts';

const guesses = 10_000;
/** Requests of an attacker under way at the same time. */
const width = 50;
const windowSeconds = 15 * 60;

describe('attacks on logins', () => {
  const running: AccessApi[] = [];
  let hashes = 0;

  afterEach(async () => {
    for (const each of running.splice(0)) await each.end();
  });

  /** An API behind a proxy on this machine, whose password hashes are counted. */
  async function start(environment: TestEnvironment = {}, beside?: AccessApi): Promise<AccessApi> {
    const options = { environment: { TRUSTED_PROXIES: 'loopback', ...environment } };
    const api = await startAccessApi(beside === undefined ? options : { ...options, beside });
    running.unshift(api);
    hashes = 0;
    const { passwords } = api.access;
    const hash = passwords.hash.bind(passwords);
    const matches = passwords.matches.bind(passwords);
    Object.assign(passwords, {
      hash: (...given: Parameters<typeof hash>) => ((hashes += 1), hash(...given)),
      matches: (...given: Parameters<typeof matches>) => ((hashes += 1), matches(...given)),
    });
    return api;
  }

  const from = (address: string): { headers: Record<string, string> } => ({
    headers: { 'x-forwarded-for': address },
  });
  const tryWith =
    (given: string) =>
    (api: AccessApi, email: string, address: string): Promise<Answer> =>
      as(api, '')('POST', '/auth/login', { body: { email, password: given }, ...from(address) });
  const login = tryWith(password);
  const guess = tryWith('wrong horse 1');

  it('timing tells no account: the same work is done for an unknown e-mail as for a known one', async function () {
    this.timeout(120_000);
    const api = await start({ BCRYPT_COST: '8' });
    const known = await newPerson(api, 'known');
    await guess(api, 'warm@example.com', '192.0.2.1');
    const took = { known: [] as number[], unknown: [] as number[] };
    hashes = 0;
    for (let round = 0; round < 40; round++) {
      for (const kind of round % 2 === 0
        ? (['known', 'unknown'] as const)
        : (['unknown', 'known'] as const)) {
        const email = kind === 'known' ? known.email : `unknown-${round}@example.com`;
        const startedAt = performance.now();
        const answer = await guess(api, email, `10.${round}.${kind.length}.1`);
        took[kind].push(performance.now() - startedAt);
        expect(answer.body.error.code).to.equal('login_failed');
      }
    }
    const { known: k, unknown: u } = { known: spread(took.known), unknown: spread(took.unknown) };
    console.log(
      `      known e-mail p50 ${k.p50} ms, p90 ${k.p90} ms; unknown p50 ${u.p50} ms, p90 ${u.p90} ms`,
    );
    expect(hashes).to.equal(80);
    expect(k.p50 / u.p50).to.be.within(1 / 3, 3);
  });

  it('10,000 wrong passwords from one address cost some hashes, and its neighbours log in again within Retry-After', async function () {
    this.timeout(120_000);
    const api = await start();
    const owner = await newPerson(api, 'owner');
    expect((await login(api, owner.email, '192.0.2.7')).status).to.equal(200);
    hashes = 0;
    const flood = guessMany(api, owner.email, () => '203.0.113.9');
    await flood.after(guesses / 2);
    expect((await login(api, owner.email, '192.0.2.7')).status).to.equal(200);
    expect((await login(api, owner.email, '192.0.2.8')).status).to.equal(200);
    const seen = await flood.end;
    console.log(`      ${hashes} hashes for ${guesses} guesses from one address`);
    expect(hashes).to.be.below(60);
    expect(seen[200]).to.equal(undefined);
    expect(seen[429]).to.be.above(guesses - 100);
    const late = await guess(api, owner.email, '203.0.113.9');
    expect(late.status).to.equal(429);
    expect(Number(late.headers.get('retry-after'))).to.be.within(1, 300);
    expect(late.headers.get('ratelimit')).to.match(/^"login";r=\d+;t=\d+/);
  });

  it('10,000 wrong passwords from as many addresses cost some hashes, and the owner logs in from where he did before', async function () {
    this.timeout(120_000);
    const api = await start();
    const owner = await newPerson(api, 'owner');
    expect((await login(api, owner.email, '192.0.2.7')).status).to.equal(200);
    hashes = 0;
    const flood = guessMany(api, owner.email, (n) => `10.${n >> 16}.${(n >> 8) & 255}.${n & 255}`);
    await flood.after(guesses / 2);
    // A machine that has no time for anybody says so (503); it keeps nobody out.
    const entered = await waitFor(
      async () => {
        const { status } = await login(api, owner.email, '192.0.2.7');
        return status === 503 ? undefined : status;
      },
      { what: 'the owner to be let in during the flood' },
    );
    expect(entered).to.equal(200);
    const seen = await flood.end;
    console.log(`      ${hashes} hashes for ${guesses} guesses from as many addresses`);
    // Some are allowed again with time, and a busy machine takes longer over the flood.
    expect(hashes).to.be.below(guesses / 50);
    expect(seen[200]).to.equal(undefined);
    expect((await login(api, owner.email, '192.0.2.7')).status).to.equal(200);
    const fresh = await login(api, owner.email, '192.0.2.99');
    expect([fresh.status, fresh.body.error.code]).to.deep.equal([429, 'login_throttled']);
    expect(Number(fresh.headers.get('retry-after'))).to.be.within(1, windowSeconds);
    const bystander = await newPerson(api, 'bystander');
    expect((await login(api, bystander.email, '10.0.0.1')).status).to.equal(200);
  });

  it('guesses in parallel pass no gate together: 200 at once from one address are 5 hashes', async () => {
    const api = await start();
    const owner = await newPerson(api, 'owner');
    hashes = 0;
    const requested = Array.from({ length: 200 }, () => guess(api, owner.email, '203.0.113.9'));
    const statuses = (await Promise.all(requested)).map(({ status }) => status);
    expect(statuses.filter((status) => status === 401)).to.have.length(5);
    expect(hashes).to.equal(5);
  });

  it('400 wrong logins at once, each from a new address, keep nobody out who has logged in from his own before', async function () {
    this.timeout(120_000);
    const api = await start({ BCRYPT_COST: '9' });
    const owners: Person[] = [];
    for (let n = 0; n < 5; n++) owners.push(await newPerson(api, `owner-${n}`));
    const enter = (): Promise<Answer[]> =>
      Promise.all(owners.map(({ email }, n) => login(api, email, `192.0.2.${n}`)));
    await enter();
    let answered = 0;
    const flood = Array.from({ length: 400 }, async (_, n) => {
      const { status } = await guess(api, `somebody-${n}@example.com`, `10.0.${n >> 8}.${n & 255}`);
      answered += 1;
      return status;
    });
    // The first to be answered are those who find the waiting room full.
    await waitFor(() => answered >= 20, { what: 'the waiting room to be full' });
    expect((await enter()).map(({ status }) => status)).to.deep.equal([200, 200, 200, 200, 200]);
    const statuses = await Promise.all(flood);
    expect(statuses.filter((status) => status === 503)).to.have.length.above(0);
  });

  it('a made-up X-Forwarded-For gives an attacker no other address where no proxy is trusted', async () => {
    const api = await start({ TRUSTED_PROXIES: '' });
    const owner = await newPerson(api, 'owner');
    hashes = 0;
    for (let n = 0; n < 40; n++) await guess(api, owner.email, `10.0.0.${n}`);
    expect(hashes).to.equal(5);
  });

  it('what an attacker writes left of the proxy in X-Forwarded-For gives him no other address', async () => {
    const api = await start();
    const owner = await newPerson(api, 'owner');
    hashes = 0;
    for (let n = 0; n < 40; n++) await guess(api, owner.email, `10.0.0.${n}, 203.0.113.9`);
    for (let n = 0; n < 40; n++) await guess(api, owner.email, `2001:db8::${n.toString(16)}`);
    expect(hashes).to.equal(10);
  });

  it('spelling an e-mail in other cases and with blanks counts for the same account', async () => {
    const api = await start();
    const owner = await newPerson(api, 'owner');
    hashes = 0;
    const spellings = [owner.email, owner.email.toUpperCase(), ` ${owner.email}`, `${owner.email}\t`];
    for (let n = 0; n < 20; n++) await guess(api, spellings[n % 4]!, '203.0.113.9');
    expect(hashes).to.equal(5);
  });

  it('a flood of registrations makes as many accounts as an hour allows, and hashes no more', async () => {
    const api = await start({ REGISTRATIONS_PER_HOUR: '5' });
    const register = (n: number, address: string): Promise<Answer> => {
      const body = { username: `flood-${n}`, email: `flood-${n}@example.com`, password };
      return as(api, '')('POST', '/auth/register', { body, ...from(address) });
    };
    const responses = await Promise.all(Array.from({ length: 60 }, (_, n) => register(n, '203.0.113.9')));
    expect(responses.filter(({ status }) => status === 201)).to.have.length(5);
    const refused = responses.filter(({ status }) => status === 429);
    expect(refused).to.have.length(55);
    expect(hashes).to.equal(5);
    for (const { headers } of refused) {
      expect(Number(headers.get('retry-after'))).to.be.within(1, 3600);
      expect(headers.get('ratelimit-policy')).to.match(/^"address";q=600;w=60/);
    }
    expect((await register(100, '203.0.113.10')).status).to.equal(201);
    expect(await api.knex('users').where('username', 'like', 'flood-%')).to.have.length(6);
  });

  describe('and on limits', () => {
    const read = (api: AccessApi, token: string, address = '192.0.2.1'): Promise<Answer> =>
      as(api, token)('GET', '/crypto/cache/stats', from(address));
    const statusesOf = (responses: readonly Answer[], status: number): Answer[] =>
      responses.filter((each) => each.status === status);

    it('a user gets as much as he may over two processes, not one request more', async () => {
      const api = await start({ RATE_LIMIT_USER: '30' });
      const other = await start({ RATE_LIMIT_USER: '30' }, api);
      const joe = await newPerson(api, 'joe');
      const requested = Array.from({ length: 100 }, (_, n) =>
        read(n % 2 === 0 ? api : other, joe.token, `10.0.0.${n}`),
      );
      const responses = await Promise.all(requested);
      expect(statusesOf(responses, 200)).to.have.length(30);
      for (const { headers, body } of statusesOf(responses, 429)) {
        expect(body.error.code).to.equal('rate_limited');
        expect(Number(headers.get('retry-after'))).to.be.within(1, 60);
        expect(headers.get('ratelimit')).to.match(/^"user";r=0;t=\d+$/);
        expect(headers.get('ratelimit-policy')).to.equal('"user";q=30;w=60');
      }
      expect(statusesOf(responses, 429)).to.have.length(70);
      const ann = await newPerson(api, 'ann');
      expect((await read(api, ann.token)).status).to.equal(200);
    });

    it('logging in again gives a user no other allowance', async () => {
      const api = await start({ RATE_LIMIT_USER: '10' });
      const joe = await newPerson(api, 'joe');
      for (let n = 0; n < 10; n++) expect((await read(api, joe.token)).status).to.equal(200);
      const again: string = (await login(api, joe.email, '192.0.2.1')).body.data.token;
      expect((await read(api, again)).status).to.equal(429);
    });

    it('guessing tokens ends with the allowance of the address; a neighbour who has a good one is served all the same', async () => {
      const api = await start({ RATE_LIMIT_ADDRESS: '20' });
      const [joe, ann] = [await newPerson(api, 'joe'), await newPerson(api, 'ann')];
      expect((await read(api, joe.token)).status).to.equal(200);
      const responses: Answer[] = [];
      for (let n = 0; n < 40; n++) responses.push(await read(api, `${joe.token}${n}`));
      expect(statusesOf(responses, 401)).to.have.length(20);
      expect(statusesOf(responses, 429)).to.have.length(20);
      for (let n = 0; n < 30; n++) expect((await read(api, joe.token)).status).to.equal(200);
      // Not seen here before: its signature is checked without asking anybody.
      expect((await read(api, ann.token)).status).to.equal(200);
      // A key that nobody has seen here would have to be looked up.
      const { key } = await newKey(api, ann.token, { scopes: ['prices:read'] });
      expect((await read(api, key)).status).to.equal(429);
      expect((await read(api, key, '192.0.2.2')).status).to.equal(200);
      expect((await read(api, key)).status).to.equal(200);
    });

    it('logins beyond the allowance of the address cost no hash', async () => {
      const api = await start({ RATE_LIMIT_ADDRESS: '3' });
      for (let n = 0; n < 20; n++) await guess(api, `somebody-${n}@example.com`, '203.0.113.9');
      expect(hashes).to.equal(3);
    });

    it('a key gets its daily quota over two processes, and is told of it', async () => {
      const api = await start();
      const other = await start({}, api);
      const joe: Person = await newPerson(api, 'joe');
      const { key } = await newKey(api, joe.token, { scopes: ['prices:read'], daily_quota: 7 });
      const responses = await Promise.all(
        Array.from({ length: 30 }, (_, n) => read(n % 2 === 0 ? api : other, key)),
      );
      expect(statusesOf(responses, 200)).to.have.length(7);
      for (const { headers } of statusesOf(responses, 429)) {
        expect(Number(headers.get('retry-after'))).to.be.within(1, 86_400);
        expect(headers.get('ratelimit-policy')).to.match(/"quota";q=7;w=86400/);
        expect(headers.get('ratelimit')).to.match(/"quota";r=0;t=\d+/);
      }
      expect(statusesOf(responses, 429)).to.have.length(23);
      expect((await read(api, joe.token)).status).to.equal(200);
    });

    it('a key gets as much in a minute as keys may, whatever its owner has left', async () => {
      const api = await start({ RATE_LIMIT_KEY: '5' });
      const joe = await newPerson(api, 'joe');
      const { key } = await newKey(api, joe.token, { scopes: ['prices:read'] });
      const responses = await Promise.all(Array.from({ length: 12 }, () => read(api, key)));
      expect(statusesOf(responses, 200)).to.have.length(5);
      expect((await read(api, joe.token)).status).to.equal(200);
    });
  });
});

function spread(times: readonly number[]): { readonly p50: number; readonly p90: number } {
  const sorted = times.toSorted((a, b) => a - b);
  const at = (part: number): number => Number((sorted[Math.floor(sorted.length * part)] ?? 0).toFixed(1));
  return { p50: at(0.5), p90: at(0.9) };
}

interface Flood {
  /** Resolves when so many guesses were answered. */
  after(count: number): Promise<void>;
  /** Answers by status. */
  readonly end: Promise<Record<number, number>>;
}

/** Sends {@link guesses} wrong passwords for an e-mail, each from the address that `addressOf` gives. */
function guessMany(api: AccessApi, email: string, addressOf: (n: number) => string): Flood {
  const agent = new Agent({ keepAlive: true, maxSockets: width });
  const body = JSON.stringify({ email, password: 'wrong horse 1' });
  const seen: Record<number, number> = {};
  const marks: { readonly count: number; readonly reached: () => void }[] = [];
  let [sent, answered] = [0, 0];

  const guess = (address: string): Promise<number> =>
    new Promise((resolve, reject) => {
      const headers = { 'content-type': 'application/json', 'x-forwarded-for': address };
      const url = `${api.base}/api/v1/auth/login`;
      request(url, { method: 'POST', agent, headers }, (response) => {
        response.resume().once('end', () => resolve(response.statusCode ?? 0));
      })
        .once('error', reject)
        .end(body);
    });
  async function lane(): Promise<void> {
    while (sent < guesses) {
      const status = await guess(addressOf(sent++));
      seen[status] = (seen[status] ?? 0) + 1;
      answered += 1;
      for (const { count, reached } of marks) if (answered >= count) reached();
    }
  }
  const end = Promise.all(Array.from({ length: width }, lane)).then(() => {
    agent.destroy();
    return seen;
  });
  return {
    end,
    after: (count) => new Promise((reached) => marks.push({ count, reached })),
  };
}
