/** The stream of a user's alerts: what fires, in its order, and what was missed. */
import { expect } from 'chai';
import { v7 as uuidv7 } from 'uuid';
import type { FiringQueries } from '../../src/features/alerts/queries/alert-firings.ts';
import type { AlertFiring } from '../../src/features/alerts/alert.ts';
import type { AlertChannel } from '../../src/features/alerts/alert-channel.ts';
import { UnavailableError } from '../../src/domain/errors.ts';
import { silentLogger } from '../../src/platform/observability/logger.ts';
import { createAlertStreams, type AlertStreams } from '../../src/features/alerts/alert-streams.ts';
import { systemClock } from '../../src/platform/concurrency/clock.ts';
import { loadConfig } from '../../src/platform/config/load-config.ts';
import { createShutdown } from '../../src/platform/observability/shutdown.ts';
import { createRealtime } from '../../src/platform/realtime/realtime.ts';
import { StreamRegistry } from '../../src/platform/realtime/stream-registry.ts';
import { readSse, type SseReader } from '../e2e/support/sse-reader.ts';
import { waitFor } from '../support/wait-for.ts';
import { startApi, type TestApi } from './support/ports.ts';

const ownerId = '01934c2a-0000-7000-8000-000000000001';
const keptSeconds = 90 * 86_400;

describe('the stream of alerts', () => {
  let api: TestApi;
  let registry: StreamRegistry;
  let streams: AlertStreams;
  let listener: Parameters<AlertChannel['listen']>[0];
  let record: AlertFiring[];
  let isAway = false;
  let isRevoked = false;
  /** Whose firings were looked for, with repetitions. */
  let lookedFor: string[];
  const readers: SseReader[] = [];

  beforeEach(() => start(50));

  /** `pollIntervalMs`: how often what has fired is looked for without news of it. */
  async function start(pollIntervalMs: number): Promise<void> {
    record = [];
    lookedFor = [];
    isAway = false;
    isRevoked = false;
    registry = new StreamRegistry({
      clock: systemClock,
      limits: { perUser: 2, perAddress: 10, inAll: 10 },
      isRevoked: () => isRevoked,
    });
    const log = silentLogger();
    const realtime = createRealtime(
      { config: loadConfig({}), clock: systemClock, log, shutdown: createShutdown(log) },
      {
        registry,
        isRevoked: () => isRevoked,
        issueTicket: () => ({ ticket: 'ticket', expiresInSeconds: 60 }),
      },
    );
    streams = createAlertStreams({
      firings: firingsOver(() => record),
      channel: {
        listen: (each) => {
          listener = each;
          return () => undefined;
        },
      },
      log,
      realtime,
      clock: systemClock,
      keptSeconds,
      pollIntervalMs,
    });
    api = await startApi({ alertStreams: streams, realtime });
  }
  afterEach(stop);

  async function stop(): Promise<void> {
    for (const reader of readers.splice(0)) reader.cut();
    registry.drain();
    streams.close();
    await api.close();
  }

  function firingsOver(rows: () => readonly AlertFiring[]): Pick<FiringQueries, 'after' | 'newest'> {
    const of = (userId: string): AlertFiring[] => rows().filter((row) => row.userId === userId);
    const refuse = (): Promise<never> => Promise.reject(new UnavailableError('Database unavailable'));
    return {
      after: (userId, id, limit) =>
        isAway
          ? refuse()
          : Promise.resolve(
              of(userId)
                .filter((row) => row.id > id)
                .slice(0, limit),
            ),
      newest: (userIds) => {
        lookedFor.push(...userIds);
        return isAway
          ? refuse()
          : Promise.resolve(
              new Map(
                userIds.flatMap((id) =>
                  of(id)
                    .slice(-1)
                    .map((row) => [id, row.id]),
                ),
              ),
            );
      },
    };
  }

  function fire(userId = ownerId, msecs?: number): string {
    const id = msecs === undefined ? uuidv7() : uuidv7({ msecs });
    record.push({ id, alertId: uuidv7(), userId, at: new Date(), body: JSON.stringify({ id, value: '1' }) });
    return id;
  }

  async function open(lastEventId?: string): Promise<SseReader> {
    const headers = {
      authorization: `Bearer ${api.token}`,
      ...(lastEventId === undefined ? {} : { 'last-event-id': lastEventId }),
    };
    const reader = await readSse(`${api.base}/api/v1/alerts/stream`, { headers });
    readers.push(reader);
    return reader;
  }
  const idsOf = (reader: SseReader) =>
    reader.events.filter(({ event }) => event === 'alert').map(({ id }) => id);
  const until = (reader: SseReader, count: number) =>
    waitFor(() => idsOf(reader).length >= count, { what: `${count} alerts` });

  it('sends what fires from now on, to its owner alone', async () => {
    fire();
    const reader = await open();
    expect(reader.status).to.equal(200);
    await waitFor(() => reader.events.length > 0, { what: 'hello' });
    expect(reader.events[0]).to.deep.include({ event: 'hello' });
    expect(reader.events[0]?.data.recovered).to.equal(true);
    const other = fire(uuidv7());
    const own = fire();
    listener.onFired?.([ownerId]);
    await until(reader, 1);
    expect(idsOf(reader)).to.deep.equal([own]);
    expect(reader.dataOf('alert')).to.deep.equal([{ id: own, value: '1' }]);
    expect(idsOf(reader)).not.to.include(other);
  });

  it('sends what was missed, in order and once, however much it was', async () => {
    await stop();
    await start(3_600_000);
    const begin = Date.now() - 10_000;
    const ids = Array.from({ length: 250 }, (_, index) => fire(ownerId, begin + index));
    const reader = await open(ids[9]);
    await until(reader, 240);
    expect(idsOf(reader)).to.deep.equal(ids.slice(10));
  });

  it('finds what has fired when the news of it is lost, and goes on when the database is back', async () => {
    const reader = await open();
    await waitFor(() => reader.events.length > 0, { what: 'hello' });
    isAway = true;
    const id = fire();
    listener.onFired?.([ownerId]);
    isAway = false;
    await until(reader, 1);
    expect(idsOf(reader)).to.deep.equal([id]);
  });

  it('tells a client that it may have missed some, when the record does not go back so far', async () => {
    fire();
    const odd = [
      uuidv7({ msecs: Date.now() - (keptSeconds + 60) * 1_000 }),
      'nonsense',
      '00000000-0000-4000-8000-000000000000',
      uuidv7({ msecs: Date.now() + 3_600_000 }),
    ];
    for (const lastEventId of odd) {
      const reader = await open(lastEventId);
      await waitFor(() => reader.events.length > 1, { what: 'the reset' });
      expect(reader.events[0]?.data.recovered, lastEventId).to.equal(false);
      expect(reader.events.map(({ event }) => event)).to.deep.equal(['hello', 'reset']);
      reader.cut();
      await waitFor(() => registry.size === 0, { what: 'the stream to end' });
    }
  });

  it('looks for nothing of a user whose streams have ended', async () => {
    await stop();
    await start(3_600_000);
    const both = [await open(), await open()];
    listener.onGap?.();
    await waitFor(() => lookedFor.length === 3, { what: 'the look for the owner of both' });
    for (const reader of both) reader.cut();
    await waitFor(() => registry.size === 0, { what: 'the end of both' });
    lookedFor = [];
    listener.onGap?.();
    expect(lookedFor).to.deep.equal([]);
  });

  it('is answered 503 while the database is away', async () => {
    isAway = true;
    expect((await open()).status).to.equal(503);
    expect(registry.size).to.equal(0);
  });

  it('counts against the limits of streams', async () => {
    await open();
    await open();
    const third = await open();
    await waitFor(() => third.state === 'clean', { what: 'the refusal' });
    expect(third.dataOf('limit')[0]).to.include({ limit: 'user' });
  });

  it('ends when its credential is revoked, and when the process ends', async () => {
    const revoked = await open();
    isRevoked = true;
    registry.endRevoked();
    await waitFor(() => revoked.dataOf('end').length > 0, { what: 'the end' });
    expect(revoked.dataOf('end')[0]).to.include({ reason: 'revoked', reconnect: false });
    isRevoked = false;
    const drained = await open();
    registry.drain();
    await waitFor(() => drained.dataOf('drain').length > 0, { what: 'the drain' });
  });
});
