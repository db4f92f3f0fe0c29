import { expect } from 'chai';
import { createPasswords } from '../../../src/auth/passwords.ts';
import { UnavailableError } from '../../../src/lib/errors.ts';

describe('passwords', () => {
  it('recognises a password by its hash, and no other', async () => {
    const passwords = createPasswords({ cost: 4 });
    const hash = await passwords.hash('correct horse 1');
    expect(hash).to.match(/^\$2b\$04\$/);
    expect(await passwords.matches('correct horse 1', hash)).to.equal(true);
    expect(await passwords.matches('correct horse 2', hash)).to.equal(false);
  });

  it('matches nothing where there is no account, not even the text that is compared with', async () => {
    const passwords = createPasswords({ cost: 4 });
    expect(await passwords.matches('nobody has this password', undefined)).to.equal(false);
  });

  it('lets two work and a hundred wait, and turns the next away', async () => {
    const passwords = createPasswords({ cost: 4 });
    const outcomes = await Promise.allSettled(
      Array.from({ length: 103 }, () => passwords.hash('correct horse 1')),
    );
    const refused = outcomes.filter((each) => each.status === 'rejected');
    expect(refused.map((each) => each.reason as unknown)).to.have.lengthOf(1);
    expect(refused[0]!.reason)
      .to.be.instanceOf(UnavailableError)
      .and.include({ code: 'logins_busy', status: 503 });
    expect(await passwords.hash('correct horse 1')).to.be.a('string');
  });
});
