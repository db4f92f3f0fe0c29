import { expect } from 'chai';
import { createAddressGuard } from '../../../src/features/webhooks/address-guard.ts';

const refused: Readonly<Record<string, readonly string[]>> = {
  'this machine': ['127.0.0.1', '127.255.255.254', '::1', '0.0.0.0', '0.1.2.3', '::'],
  'private networks': ['10.0.0.1', '172.16.0.1', '172.31.255.255', '192.168.1.1', 'fc00::1', 'fdab::1'],
  'link-local, with the metadata of clouds': ['169.254.169.254', '169.254.170.2', 'fe80::1', 'fe80::1%eth0'],
  'further metadata of clouds': ['100.100.100.200', '192.0.0.192', '168.63.129.16', 'fd00:ec2::254'],
  'shared address space': ['100.64.0.1', '100.127.255.255'],
  'multicast and broadcast': ['224.0.0.1', '239.1.2.3', '255.255.255.255', 'ff02::1'],
  reserved: ['240.0.0.1', '198.18.0.1', '198.19.255.255', '4000::1', 'fec0::1', '100::1'],
  documentation: ['192.0.2.1', '198.51.100.7', '203.0.113.9', '2001:db8::1', '3fff::1'],
  'IPv4 mapped into IPv6': ['::ffff:127.0.0.1', '::ffff:7f00:1', '::ffff:10.0.0.1', '::FFFF:A9FE:A9FE'],
  'IPv4-compatible IPv6': ['::127.0.0.1', '::7f00:1', '::8.8.8.8'],
  'translated IPv4': [
    '64:ff9b::7f00:1',
    '64:ff9b::10.0.0.1',
    '64:ff9b::1',
    '64:ff9b::',
    '64:ff9b:1::808:808',
  ],
  '6to4 and Teredo': ['2002:7f00:1::', '2002:808:808::1', '2001::1', '2001:0:7f00:1::'],
  'no address': ['', 'localhost', '127.1', '0x7f000001', '1.2.3.4.5', '1.2.3.4/8'],
};

const open = [
  '1.1.1.1',
  '8.8.8.8',
  '100.63.255.255',
  '100.128.0.1',
  '172.15.255.255',
  '172.32.0.1',
  '169.253.1.1',
  '223.255.255.255',
  '2606:4700:4700::1111',
  '2a00:1450:4001:830::200e',
  '::ffff:8.8.8.8',
  '64:ff9b::808:808',
];

describe('the guard of addresses', () => {
  const guard = createAddressGuard([]);

  for (const [what, addresses] of Object.entries(refused)) {
    it(`refuses ${what}`, () => {
      expect(addresses.filter((address) => guard.allows(address))).to.deep.equal([]);
    });
  }

  it('allows the addresses of the internet', () => {
    expect(open.filter((address) => !guard.allows(address))).to.deep.equal([]);
  });

  it('allows what the operator names, in every spelling, and nothing beside it', () => {
    const own = createAddressGuard(['10.1.0.0/16', 'fd12::/16', '192.168.1.7']);
    const allowed = ['10.1.2.3', '::ffff:10.1.2.3', 'fd12::5', '192.168.1.7', '1.1.1.1'];
    expect(allowed.filter((address) => !own.allows(address))).to.deep.equal([]);
    const others = ['10.2.0.1', 'fd13::1', '192.168.1.8', '127.0.0.1', '::1'];
    expect(others.filter((address) => own.allows(address))).to.deep.equal([]);
  });

  it('allows this machine where the operator says loopback', () => {
    const own = createAddressGuard(['loopback']);
    expect(['127.0.0.1', '127.8.8.8', '::1'].every((address) => own.allows(address))).to.equal(true);
    expect(own.allows('10.0.0.1')).to.equal(false);
  });
});
