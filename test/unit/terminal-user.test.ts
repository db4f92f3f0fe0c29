/** The accounts of `npm run demo` and `npm run watch`, which are made once and kept. */
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import type { PricepoolClient } from '../../client/pricepool-client.ts';
import { PricepoolError } from '../../client/pricepool-error.ts';
import { CommandError } from '../../embedded/api-place.ts';
import { becomeUser } from '../../embedded/terminal-user.ts';

const url = 'http://api';

describe('the user of a command', () => {
  let folder: string;
  let registered: Map<string, string>;
  let mayRegister: boolean;
  let loggedIn: string | undefined;

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'pricepool-user-'));
    registered = new Map();
    mayRegister = true;
    loggedIn = undefined;
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  const client = {
    register: ({ email, password }: { email: string; password: string }) => {
      const details = { status: 429, code: 'rate_limited', retryAfterSeconds: 1_260 };
      if (!mayRegister) return Promise.reject(new PricepoolError('Too many requests', details));
      registered.set(email, password);
      return Promise.resolve();
    },
    login: ({ email, password }: { email: string; password: string }) => {
      if (registered.get(email) !== password)
        return Promise.reject(new PricepoolError('no', { status: 401, code: 'invalid_credentials' }));
      loggedIn = email;
      return Promise.resolve();
    },
  } as unknown as PricepoolClient;
  const become = (command = 'demo', at = url) =>
    becomeUser(client, { command, url: at, environment: { PRICEPOOL_DATA_DIR: folder } });

  it('is registered once for each command and API, and comes back', async () => {
    const first = await become();
    expect(first.username).to.match(/^demo-[0-9a-f]{8}$/);
    expect(first.isNew).to.equal(true);
    expect((await become('watch')).isNew).to.equal(true);
    expect((await become('demo', 'http://other')).isNew).to.equal(true);
    mayRegister = false;
    expect(await become()).to.deep.equal({ username: first.username, isNew: false });
    expect(loggedIn).to.equal(`${first.username}@example.com`);
    expect(registered.size).to.equal(3);
  });

  it('is in a file that only its owner reads, and nothing is left beside it', async () => {
    await become();
    const [name] = await readdir(folder);
    expect(await readdir(folder)).to.have.length(1);
    expect((await stat(join(folder, name!))).mode & 0o777).to.equal(0o600);
    expect(await readFile(join(folder, name!), 'utf8')).to.include([...registered.values()][0]);
  });

  it('is another one when the API does not know it any more, or the file is broken', async () => {
    const { username } = await become();
    registered.clear();
    const second = await become();
    expect(second.username).to.not.equal(username);
    expect(second.isNew).to.equal(true);
    await writeFile(join(folder, (await readdir(folder))[0]!), '{');
    expect((await become()).isNew).to.equal(true);
    expect((await become()).isNew).to.equal(false);
  });

  it('says when to come back, and which setting it was, when no more may be registered', async () => {
    mayRegister = false;
    const error = await become().catch((thrown: unknown) => thrown);
    expect(error).to.be.instanceOf(CommandError);
    expect((error as Error).message)
      .to.include('REGISTRATIONS_PER_HOUR')
      .and.include('21 minutes');
  });
});
