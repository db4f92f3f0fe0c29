import { expect } from 'chai';
import { limitSubjectOf, normaliseAddress } from '../../../src/platform/http/network.ts';

describe('addresses of clients', () => {
  for (const [text, normal] of [
    ['192.0.2.1', '192.0.2.1'],
    ['::ffff:192.0.2.1', '192.0.2.1'],
    ['::FFFF:192.0.2.1', '192.0.2.1'],
    ['::ffff:c000:0201', '192.0.2.1'],
    ['0:0:0:0:0:ffff:192.0.2.1', '192.0.2.1'],
    ['2001:DB8:0:0:1::0001', '2001:db8::1:0:0:1'],
    ['2001:0db8::', '2001:db8::'],
    ['::1', '::1'],
    ['fe80::1%eth0', 'fe80::1'],
    ['64:ff9b::192.0.2.1', '64:ff9b::c000:201'],
  ] as const) {
    it(`writes ${text} as ${normal}`, () => {
      expect(normaliseAddress(text)).to.equal(normal);
    });
  }

  for (const text of [
    '',
    'unknown',
    '999.1.1.1',
    '1.2.3',
    '0x7f.1',
    '01.2.3.4',
    ' 192.0.2.1',
    '192.0.2.1\r\n',
    '::ffff:999.1.1.1',
    ':::',
    '1:2:3:4:5:6:7:8:9',
    `${'0'.repeat(10_000)}::1`,
    '[::1]',
    '::1/64',
    '__proto__',
  ]) {
    it(`takes ${JSON.stringify(text.slice(0, 20))} for no address`, () => {
      expect(normaliseAddress(text)).to.equal(undefined);
      expect(limitSubjectOf(text)).to.equal('0.0.0.0');
    });
  }

  it('counts an IPv4 address by itself, however it is written', () => {
    expect(limitSubjectOf('192.0.2.1')).to.equal('192.0.2.1');
    expect(limitSubjectOf('::ffff:192.0.2.1')).to.equal('192.0.2.1');
  });

  it('counts all of a /64 as one, and its neighbours apart', () => {
    const one = ['2001:db8:0:7::1', '2001:db8::7:ffff:ffff:ffff:ffff', '2001:DB8:0:0007:1:2:3:4'];
    expect(new Set(one.map(limitSubjectOf))).to.deep.equal(new Set(['2001:db8:0:7::/64']));
    expect(limitSubjectOf('2001:db8:0:8::1')).to.equal('2001:db8:0:8::/64');
    expect(limitSubjectOf('::1')).to.equal('0:0:0:0::/64');
    expect(limitSubjectOf('1:2:3:4:5:6:192.0.2.1')).to.equal('1:2:3:4::/64');
  });
});
