import { expect } from 'chai';
import { callShares } from '../../../src/features/upstream/call-shares.ts';
import { parseRequester, requesterText } from '../../../src/domain/requester.ts';

const userId = '01934c2a-0000-7000-8000-000000000001';
const keyId = '01934c2a-0000-7000-8000-00000000000a';

describe('the text of a requester', () => {
  it('is read back as it was', () => {
    for (const who of [
      { userId, keyId: undefined },
      { userId, keyId },
    ]) {
      expect(parseRequester(requesterText(who))).to.deep.equal(who);
    }
  });

  it('is not made of anything else', () => {
    for (const text of [
      '',
      'joe',
      `${userId}/`,
      `${userId}/x`,
      `${userId}/${keyId}/${keyId}`,
      ` ${userId}`,
    ]) {
      expect(parseRequester(text), text).to.equal(undefined);
    }
  });
});

describe('the shares of a call', () => {
  it('go by the number of assets', () => {
    expect([...callShares(['a', 'b', 'b', 'b'])]).to.deep.equal([
      ['a', 0.25],
      ['b', 0.75],
    ]);
  });

  it('leave out what nobody in particular asked for', () => {
    expect([...callShares(['a', undefined, undefined, undefined])]).to.deep.equal([['a', 0.25]]);
    expect(callShares([undefined]).size + callShares([]).size).to.equal(0);
  });
});
