import { expect } from 'chai';
import { lazily } from '../../../workers/runtime/lazily.ts';

describe('what is opened lazily', () => {
  it('is opened at its first use, once, also where there is nothing to show for it', () => {
    let opened = 0;
    const something = lazily(() => ({ n: ++opened }));
    expect(opened).to.equal(0);
    expect(something()).to.equal(something());
    const nothing = lazily((): number | undefined => {
      opened++;
      return undefined;
    });
    expect([nothing(), nothing(), opened]).to.deep.equal([undefined, undefined, 2]);
  });
});
