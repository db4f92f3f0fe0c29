import { readFileSync, readdirSync } from 'node:fs';
import { getPriority } from 'node:os';
import bcrypt from 'bcrypt';
import { expect } from 'chai';
import runHash, { decoyHash } from '../../../src/features/accounts/hash-thread.ts';
import { createPasswords, type Passwords } from '../../../src/features/accounts/password-hashing.ts';
import { UnavailableError } from '../../../src/domain/errors.ts';

/** Threads of passwords: two where they have a priority of their own. */
const threads = process.platform === 'linux' ? 2 : 1;

async function refusals(work: readonly Promise<unknown>[]): Promise<unknown[]> {
  const outcomes = await Promise.allSettled(work);
  return outcomes.flatMap((each) => (each.status === 'rejected' ? [each.reason as unknown] : []));
}

/** Priorities of the threads of this process, as the system says. */
function niceValues(): number[] {
  const stats = readdirSync('/proc/self/task').map((id) =>
    readFileSync(`/proc/self/task/${id}/stat`, 'utf8'),
  );
  return stats.map((stat) => Number(stat.split(') ')[1]!.split(' ')[16]));
}

describe('passwords', () => {
  let passwords: Passwords;

  beforeEach(() => (passwords = createPasswords({ cost: 4 })));
  afterEach(() => passwords.close());

  it('recognises a password by its hash, and no other', async () => {
    const hash = await passwords.hash('correct horse 1');
    expect(hash).to.match(/^\$2b\$04\$/);
    expect(await passwords.matches('correct horse 1', hash)).to.equal(true);
    expect(await passwords.matches('correct horse 2', hash)).to.equal(false);
  });

  it('matches nothing where there is no account, or no hash', async () => {
    for (const password of ['nobody has this password', '', decoyHash(4)]) {
      expect(await passwords.matches(password, undefined)).to.equal(false);
      expect(await passwords.matches(password, '')).to.equal(false);
    }
  });

  it('lets a hundred wait, and turns the next away', async () => {
    const work = Array.from({ length: threads + 101 }, () => passwords.hash('correct horse 1'));
    const refused = await refusals(work);
    expect(refused).to.have.length(1);
    expect(refused[0])
      .to.be.instanceOf(UnavailableError)
      .and.include({ code: 'logins_busy', status: 503, retryAfterSeconds: 5 });
    expect(await passwords.hash('correct horse 1')).to.be.a('string');
  });

  it('lets ten of one address wait, so that there is room for others', async () => {
    const work = Array.from({ length: 40 }, (_, i) => passwords.hash('x', `2001:db8::${i.toString(16)}`));
    const elsewhere = passwords.hash('correct horse 1', '192.0.2.1');
    expect(await refusals(work)).to.have.length(40 - threads - 10);
    expect(await elsewhere).to.be.a('string');
  });

  it('serves those who are known while any number of strangers, each from a new address, asks too', async () => {
    const hash = await passwords.hash('correct horse 1');
    const addressOf = (i: number): string => `10.${i >> 8}.${i & 255}.1`;
    const crowd = refusals(
      Array.from({ length: 400 }, (_, i) => passwords.matches('wrong horse 1', hash, addressOf(i))),
    );
    const known = Array.from({ length: 20 }, (_, i) =>
      passwords.matches('correct horse 1', hash, { from: `192.0.2.${i}`, isKnown: true }),
    );
    const stranger = await refusals([passwords.matches('correct horse 1', hash, { from: '198.51.100.1' })]);
    expect(stranger[0]).to.include({ code: 'logins_busy' });
    expect(await Promise.all(known)).to.deep.equal(known.map(() => true));
    expect(await crowd).to.have.length(400 - threads - 100);
  });

  it('lets fifty of those who are known wait, and ten of one address among them', async () => {
    const known = (from: string) => passwords.hash('x', { from, isKnown: true });
    const work = Array.from({ length: threads + 1 }, () => passwords.hash('x'));
    const burst = refusals(Array.from({ length: 12 }, (_, i) => known(`2001:db8::${i.toString(16)}`)));
    const others = refusals(Array.from({ length: 41 }, (_, i) => known(`192.0.2.${i}`)));
    expect(await burst).to.have.length(2);
    expect(await others).to.have.length(1);
    expect(await refusals(work)).to.have.length(0);
  });

  it('know a hash of a lower cost than today', async () => {
    const hash = await passwords.hash('correct horse 1');
    expect(passwords.needsRehash(hash)).to.equal(false);
    expect(createPasswords({ cost: 5 }).needsRehash(hash)).to.equal(true);
    expect(createPasswords({ cost: 4 }).needsRehash(decoyHash(5))).to.equal(false);
  });

  it('are refused once they were closed, also when they were in hand', async () => {
    const inHand = Array.from({ length: 20 }, () => passwords.hash('correct horse 1'));
    const ends = refusals([...inHand, passwords.close().then(() => passwords.hash('correct horse 1'))]);
    const codes = (await ends).map((error) => (error as UnavailableError).code);
    expect(codes.length).to.be.greaterThan(0);
    expect(new Set(codes)).to.deep.equal(new Set(['logins_busy']));
  });

  it('are hashed at the lowest priority, while the rest of the process keeps its own', async function () {
    if (process.platform !== 'linux') this.skip();
    await Promise.all([passwords.hash('a'), passwords.hash('b')]);
    expect(niceValues().filter((nice) => nice === 19)).to.have.length.at.least(1);
    expect(niceValues().filter((nice) => nice !== 19)).to.have.length.at.least(4);
    expect(getPriority()).to.be.lessThan(19);
  });
});

describe('comparing a password', () => {
  const real = bcrypt.compareSync.bind(bcrypt);
  const rounds: number[] = [];

  beforeEach(() => {
    rounds.length = 0;
    bcrypt.compareSync = (password, hash) => {
      rounds.push(2 ** bcrypt.getRounds(hash));
      return real(password, hash);
    };
  });
  afterEach(() => void (bcrypt.compareSync = real));

  it('takes the work of the cost, whatever the cost of the hash', () => {
    for (const cost of [4, 5, 7]) {
      rounds.length = 0;
      const compareWith = bcrypt.hashSync('correct horse 1', cost);
      expect(runHash({ password: 'correct horse 1', cost: 7, compareWith })).to.equal(true);
      expect(rounds.reduce((sum, each) => sum + each, 0)).to.equal(2 ** 7);
    }
    rounds.length = 0;
    expect(runHash({ password: 'correct horse 1', cost: 7, compareWith: decoyHash(7) })).to.equal(false);
    expect(rounds).to.deep.equal([2 ** 7]);
  });
});
