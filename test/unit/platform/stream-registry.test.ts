import { mock } from 'node:test';
import { expect } from 'chai';
import type { Principal } from '../../../src/domain/principal.ts';
import {
  StreamRegistry,
  type EndReason,
  type OpenStream,
} from '../../../src/platform/realtime/stream-registry.ts';

const limits = { perUser: 3, perAddress: 4, inAll: 5 };

describe('StreamRegistry', () => {
  let registry: StreamRegistry;
  let revoked: Set<string>;

  beforeEach(() => {
    mock.timers.enable({ apis: ['setInterval'] });
    revoked = new Set();
    registry = newRegistry(limits);
  });
  afterEach(() => mock.timers.reset());

  const newRegistry = (given: typeof limits): StreamRegistry =>
    new StreamRegistry({
      clock: { now: () => 0 },
      limits: given,
      isRevoked: ({ userId }) => revoked.has(userId),
    });

  const clientOf = (userId: string, address: string) => {
    const viewer: Principal = {
      userId,
      role: 'user',
      generation: 0,
      sessionId: undefined,
      keyId: undefined,
      scopes: undefined,
    };
    return { viewer, address };
  };

  function open(userId: string, address = '10.0.0.1', home = registry) {
    const stream = {
      client: clientOf(userId, address),
      polls: 0,
      ended: undefined as EndReason | undefined,
      keepsUp: true,
      poll(): boolean {
        stream.polls += 1;
        return stream.keepsUp;
      },
      end(reason: EndReason): void {
        stream.ended = reason;
        home.closed(stream, reason);
      },
    };
    home.add(stream satisfies OpenStream);
    return stream;
  }

  it('looks no more at a stream that has ended, though its client did not keep up', () => {
    const stream = open('a');
    stream.keepsUp = false;
    registry.attend(stream);
    mock.timers.tick(1_000);
    const { polls } = stream;
    expect(polls).to.be.above(0);
    stream.end('client');
    mock.timers.tick(10_000);
    expect(stream.polls).to.equal(polls);
  });

  it('has room for so many of a user, of an address and in all', () => {
    const first = [open('a'), open('a'), open('a')];
    expect(registry.limitReached(clientOf('a', '10.0.0.2'))).to.equal('user');
    expect(registry.limitReached(clientOf('b', '10.0.0.1'))).to.equal(undefined);
    open('b');
    expect(registry.limitReached(clientOf('c', '10.0.0.1'))).to.equal('address');
    expect(registry.limitReached(clientOf('c', '10.0.0.2'))).to.equal(undefined);
    open('c', '10.0.0.2');
    expect(registry.limitReached(clientOf('d', '10.0.0.3'))).to.equal('process');
    first[0]?.end('client');
    expect(registry.limitReached(clientOf('a', '10.0.0.1'))).to.equal(undefined);
  });

  it('counts a stream that is closed twice once', () => {
    const stream = open('a');
    open('a');
    for (const reason of ['slow', 'client', 'client'] as const) registry.closed(stream, reason);
    expect(registry.size).to.equal(1);
    expect(registry.ended()).to.deep.equal({ slow: 1 });
  });

  it('looks at each stream every five seconds', () => {
    const home = newRegistry({ perUser: 100, perAddress: 100, inAll: 100 });
    const streams = Array.from({ length: 31 }, (_, n) => open(`user-${n}`, '10.0.0.1', home));
    for (let poll = 1; poll <= 4; poll += 1) {
      mock.timers.tick(5_000);
      expect(new Set(streams.map(({ polls }) => polls))).to.deep.equal(new Set([poll]));
    }
  });

  it('looks at a stream every second from when its client is behind until it keeps up', () => {
    const slow = open('a');
    slow.keepsUp = false;
    registry.attend(slow);
    mock.timers.tick(10_000);
    expect(slow.polls).to.equal(10);
    slow.keepsUp = true;
    mock.timers.tick(1_000);
    slow.polls = 0;
    mock.timers.tick(15_000);
    expect(slow.polls).to.equal(3);
  });

  it('spreads its looks over the seconds', () => {
    const home = newRegistry({ perUser: 100, perAddress: 100, inAll: 100 });
    const streams = Array.from({ length: 45 }, (_, n) => open(`user-${n}`, '10.0.0.1', home));
    for (let second = 1; second <= 5; second += 1) {
      mock.timers.tick(1_000);
      expect(streams.filter(({ polls }) => polls > 0)).to.have.length(9 * second);
    }
  });

  it('ends the streams whose credential is revoked, and one that is opened with such', () => {
    const [a, b] = [open('a'), open('b')];
    revoked.add('a');
    registry.endRevoked();
    expect([a.ended, b.ended]).to.deep.equal(['revoked', undefined]);
    expect(open('a').ended).to.equal('revoked');
    expect(registry.size).to.equal(1);
  });

  it('drains: ends all, and whoever comes later', () => {
    const streams = [open('a'), open('b')];
    registry.drain();
    expect(streams.map(({ ended }) => ended)).to.deep.equal(['drain', 'drain']);
    expect(open('c').ended).to.equal('drain');
    expect([registry.size, registry.isDraining]).to.deep.equal([0, true]);
    expect(registry.ended()).to.deep.equal({ drain: 3 });
  });
});
