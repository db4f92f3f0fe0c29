/** What somebody gets who sets nothing. */
import { isIPv4, BlockList } from 'node:net';
import type { IncomingMessage } from 'node:http';
import { expect } from 'chai';
import { credentialLifeOf } from '../../../src/features/accounts/tokens.ts';
import { loadConfig } from '../../../src/platform/config/load-config.ts';
import { createClientAddress } from '../../../src/platform/http/client-address.ts';
import { createOriginCheck } from '../../../src/platform/http/headers.ts';
import { createAddressGuard } from '../../../src/features/webhooks/address-guard.ts';

const defaults = loadConfig({});

describe('a configuration in which nothing is set', () => {
  it('is reached from this machine alone', () => {
    const loopback = new BlockList();
    loopback.addSubnet('127.0.0.0', 8, 'ipv4');
    expect(isIPv4(defaults.HOST)).to.equal(true);
    expect(loopback.check(defaults.HOST, 'ipv4')).to.equal(true);
  });

  it('lets pages of this machine call while it is developed, and no other page anywhere', () => {
    const production = { ...defaults, APP_ENV: 'production' } as const;
    expect(createOriginCheck(defaults)('http://localhost:5173')).to.equal(true);
    expect(createOriginCheck(defaults)('https://app.example')).to.equal(false);
    expect(createOriginCheck(production)('http://localhost:5173')).to.equal(false);
  });

  it('believes no proxy', () => {
    const addressOf = createClientAddress({ trustedProxies: defaults.TRUSTED_PROXIES });
    const headers = { 'x-forwarded-for': '203.0.113.7' };
    const socket = { remoteAddress: '127.0.0.1' };
    expect(addressOf({ headers, socket } as unknown as IncomingMessage)).to.equal('127.0.0.1');
  });

  it('sends webhooks to public addresses alone', () => {
    const guard = createAddressGuard(defaults.WEBHOOK_ALLOWED_NETWORKS);
    const neighbours = ['127.0.0.1', '10.0.0.1', '192.168.1.1', '169.254.169.254', '::1', 'fd00::1'];
    expect(neighbours.filter((address) => guard.allows(address))).to.deep.equal([]);
    expect(guard.allows('1.1.1.1')).to.equal(true);
  });

  it('has no secret and no mail server, and shows no metrics to others', () => {
    const { JWT_SECRET, JWT_SECRET_PREVIOUS, WEBHOOK_SECRET, METRICS_TOKEN, SMTP_URL } = defaults;
    expect([JWT_SECRET, JWT_SECRET_PREVIOUS, WEBHOOK_SECRET, METRICS_TOKEN, SMTP_URL]).to.deep.equal(
      Array.from({ length: 5 }, () => undefined),
    );
  });

  it('keeps revocations for as long as what they end could live', () => {
    const { revocationSeconds } = credentialLifeOf(defaults);
    expect(revocationSeconds).to.be.above(defaults.JWT_EXPIRES_IN);
    expect(revocationSeconds).to.be.above(defaults.STREAM_TICKET_EXPIRES_IN);
    const ofTickets = { JWT_EXPIRES_IN: 1, STREAM_TICKET_EXPIRES_IN: 600 };
    expect(credentialLifeOf(ofTickets).revocationSeconds).to.be.above(600);
    // A process that has not heard of it believes a revoked key for a minute.
    expect(credentialLifeOf({ ...ofTickets, STREAM_TICKET_EXPIRES_IN: 1 }).revocationSeconds).to.be.above(60);
  });

  it('bounds strangers more than users, and users more than the whole', () => {
    expect(defaults.RATE_LIMIT_ADDRESS).to.be.below(defaults.RATE_LIMIT_USER);
    expect(defaults.STREAMS_PER_USER).to.be.below(defaults.STREAMS_PER_ADDRESS);
    expect(defaults.STREAMS_PER_ADDRESS).to.be.below(defaults.STREAMS_PER_PROCESS);
    expect(defaults.PORTFOLIO_JOBS_PER_USER).to.be.below(defaults.JOB_BACKLOG_PER_USER);
    expect(defaults.JOB_BACKLOG_PER_USER).to.be.below(defaults.JOB_BACKLOG_LIMIT);
    expect(defaults.JOB_BACKLOG_PER_USER).to.be.below(defaults.WORKER_CONCURRENCY);
  });

  it('keeps a quote as stale for longer than it is fresh, and shows streams newer ones than reads', () => {
    expect(defaults.STREAM_RENEW_AFTER).to.be.below(defaults.QUOTE_TTL);
    expect(defaults.QUOTE_STALE_TTL).to.be.above(defaults.QUOTE_TTL);
    expect(defaults.WARM_WINDOW).to.be.above(defaults.QUOTE_TTL);
    expect(defaults.JOB_RETENTION).to.be.above(defaults.JOB_DEADLINE);
  });

  it('has the limits, lives and ways that operators read in the documentation', () => {
    expect(defaults).to.deep.include({
      HOST: '127.0.0.1',
      PORT: 8080,
      LOG_LEVEL: 'info',
      DB_POOL_SIZE: 10,
      DB_SSL_MODE: 'disable',
      REDIS_KEY_PREFIX: 'pricepool',
      JWT_EXPIRES_IN: 15 * 60,
      REFRESH_EXPIRES_IN: 30 * 86_400,
      STREAM_TICKET_EXPIRES_IN: 60,
      REGISTRATION: 'open',
      REGISTRATIONS_PER_HOUR: 20,
      DELETED_USERNAME_RETENTION: 30 * 86_400,
      BCRYPT_COST: 11,
      RATE_LIMIT_USER: 6_000,
      RATE_LIMIT_KEY: 6_000,
      RATE_LIMIT_ADDRESS: 600,
      UPSTREAM_TIMEOUT: 8_000,
      UPSTREAM_MAX_BODY_BYTES: 5 * 1024 * 1024,
      UPSTREAM_CREDITS_CHARGED: 'unless_refused',
      UPSTREAM_MONTH_STARTS_ON: 1,
      PROVIDER_FALLBACKS: [],
      BREAKER_FAILURE_THRESHOLD: 5,
      DEVIATION_GUARD: 'on',
      WEBHOOK_HTTP: undefined,
      WEBHOOK_RETENTION: 30 * 86_400,
      PORTFOLIO_TRANSACTION_LIMIT: 250_000,
      PORTFOLIO_JOBS_PER_USER: 20,
      QUOTE_TTL: 60,
      QUOTE_STALE_TTL: 86_400,
      WARMING: 'on',
      WARM_WINDOW: 600,
      NEGATIVE_CACHE_TTL: 300,
      READ_WAIT: 8_000,
      STREAMS_PER_USER: 100,
      STREAMS_PER_ADDRESS: 500,
      STREAMS_PER_PROCESS: 15_000,
      STREAM_RENEW_AFTER: 15,
      JOB_DEADLINE: 300,
      JOB_BACKLOG_LIMIT: 20_000,
      JOB_BACKLOG_PER_USER: 1_000,
      JOB_RETENTION: 86_400,
      WORKER_CONCURRENCY: 2_000,
      WORKER_QUEUES: ['requests', 'refresh', 'maintenance', 'mail', 'books', 'portfolios', 'webhooks'],
    });
  });
});
