/** What the check of words finds in names, and what it lets pass. */
import { expect } from 'chai';
import { oddNames, partsOf } from '../../../scripts/check-words.ts';

const namesIn = (text: string, file = 'src/shop.ts') => oddNames(file, text).map(({ name }) => name);

describe('the check of words', () => {
  it('takes a name apart however it is written', () => {
    for (const name of ['toldAgoMs', 'ToldAgoMs', 'told_ago_ms', 'TOLD_AGO_MS', 'told-ago.ms'])
      expect(partsOf(name), name).to.deep.equal(['told', 'ago', 'ms']);
    expect(partsOf('HTTPDesk')).to.deep.equal(['http', 'desk']);
  });

  it('finds words in identifiers, members, private fields and types', () => {
    expect(namesIn('interface JobDesk { kick(): void }')).to.deep.equal(['JobDesk', 'kick']);
    expect(namesIn('class A { readonly #bell = 1; }')).to.deep.equal(['bell']);
    expect(namesIn('const { asked: request } = a;')).to.deep.equal(['asked']);
  });

  it('finds words in the names of files, settings, metrics, events and queues', () => {
    expect(namesIn('', 'src/job-desk.ts')).to.deep.equal(['src/job-desk.ts']);
    expect(namesIn("gauge('pricepool_leftover_processes'); add('upkeep');")).to.deep.equal([
      'pricepool_leftover_processes',
      'upkeep',
    ]);
    expect(namesIn('const settings = { KICK_AFTER: 1 };')).to.deep.equal(['KICK_AFTER']);
  });

  it('finds words of several parts only as a whole', () => {
    expect(namesIn('untilJoined(); takeOver(); quickReads(); joined(); quick(); over();')).to.deep.equal([
      'untilJoined',
      'takeOver',
      'quickReads',
    ]);
  });

  it('lets prose pass, parts of other words, and texts of tests', () => {
    expect(namesIn("/** The desk. */ log('what was asked'); const bookkeeping = surface;")).to.deep.equal([]);
    expect(namesIn("send('told')", 'test/unit/a.test.ts')).to.deep.equal([]);
  });
});
