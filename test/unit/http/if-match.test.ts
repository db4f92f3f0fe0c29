import { expect } from 'chai';
import type { ApiContext } from '../../../src/platform/http/context.ts';
import { expectedVersion, matchesTag } from '../../../src/platform/http/if-match.ts';

describe('entity tags', () => {
  const versionsIn = (header: string): unknown =>
    expectedVersion({ req: { headers: { 'if-match': header } } } as unknown as ApiContext);

  it('are known with the suffix of a proxy that compresses', () => {
    for (const given of ['"3"', 'W/"3"', '"3-gzip"', 'W/"3-gzip"', '"x", "3-br"'])
      expect(matchesTag(given, '"3"'), given).to.equal(true);
    for (const given of ['"33-gzip"', '"3-other"', '"3gzip"'])
      expect(matchesTag(given, '"3"'), given).to.equal(false);
    expect(versionsIn('"3-gzip", "4"')).to.deep.equal([3, 4]);
  });

  it('are compared strongly where something changes', () => {
    expect(versionsIn('W/"3", "3-other", W/"3-gzip"')).to.deep.equal([]);
  });
});
