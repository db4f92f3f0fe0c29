import { createHash, randomBytes } from 'node:crypto';
import { messageOf, UnavailableError } from '../../domain/errors.ts';
import type { Principal } from '../../domain/principal.ts';
import type { Platform } from '../../platform/platform.ts';
import type { Queues } from '../../platform/queue/queues.ts';
import { createAllowances } from '../../platform/redis/allowances.ts';
import { createAccounts, type RequestResetMail } from './accounts.ts';
import { createApiKeyCache } from './api-key-cache.ts';
import { createApiKeys } from './api-keys.ts';
import { createAuthenticator } from './authenticator.ts';
import { createLoginThrottle } from './login-throttle.ts';
import { createPasswords, type Passwords } from './password-hashing.ts';
import { createApiKeyQueries } from './queries/api-keys.ts';
import { createAuditQueries } from './queries/audit.ts';
import { createRevocationQueries } from './queries/revocations.ts';
import { createSessionQueries } from './queries/sessions.ts';
import { createUsageQueries } from './queries/usage.ts';
import { createUserQueries } from './queries/users.ts';
import { createRevocationChannel } from './revocation-channel.ts';
import { createRevocations } from './revocations.ts';
import { createSuccession } from './secrets.ts';
import { createSessions } from './sessions.ts';
import { createTokens, credentialLifeOf } from './tokens.ts';
import { createBufferedUsageCounter, type UsageCounter } from './usage-counter.ts';

export type AccountService = ReturnType<typeof createAccountService>;

/**
 * Authentication, authorisation and rate limits. `requestMail` requests a password reset mail; by default through the queue,
 * and not at all without a mail server. Does no I/O.
 */
export function createAccountService(
  platform: Omit<Platform, 'openRedis'>,
  {
    requestMail = mailThroughQueue(platform),
    passwords = createPasswords({ cost: platform.config.BCRYPT_COST, log: platform.log }),
  }: {
    readonly requestMail?: RequestResetMail | undefined;
    readonly passwords?: Passwords | undefined;
  } = {},
) {
  const { config, log, clock, shutdown, knex, redis, subscriber, keys } = platform;
  const secrets = {
    secret: config.JWT_SECRET ?? randomSecret(platform),
    previousSecret: config.JWT_SECRET_PREVIOUS,
  };
  const tokens = createTokens({
    ...secrets,
    expiresInSeconds: config.JWT_EXPIRES_IN,
    ticketExpiresInSeconds: config.STREAM_TICKET_EXPIRES_IN,
    clock,
  });
  const life = credentialLifeOf(config);
  const channel = createRevocationChannel({ redis, subscriber, channel: keys.revocations });
  const revocations = createRevocations({ queries: createRevocationQueries(knex), channel, clock, log });
  shutdown.add('work', 'revocations', () => revocations.close());
  shutdown.add('threads', 'password threads', () => passwords.close());
  const usage = createUsageCounter(platform);
  const apiKeys = createApiKeyQueries(knex, life);
  const keyRing = createApiKeyCache({ queries: apiKeys, revocations, clock, log });
  shutdown.add('queues', 'API keys', () => keyRing.close());
  const users = createUserQueries(knex, life);
  const audit = createAuditQueries(knex);
  const allowances = createAllowances({ redis, prefix: keys.limits, clock });
  const throttle = createLoginThrottle({ redis, prefix: keys.limits, clock, log });
  return {
    /** Operations on accounts and passwords. */
    accounts: createAccounts({ users, passwords, throttle, revocations, allowances, requestMail }),
    /** Logging in, refreshing and logging out. */
    sessions: createSessions({
      queries: createSessionQueries(knex, life),
      users,
      passwords,
      throttle,
      tokens,
      successorsOf: createSuccession(secrets),
      revocations,
      audit,
      log,
      refreshExpiresInSeconds: config.REFRESH_EXPIRES_IN,
    }),
    apiKeys: createApiKeys({ queries: apiKeys, revocations }),
    /** Resolves a credential to its principal. */
    authenticator: createAuthenticator({ tokens, keys: keyRing, revocations }),
    /** Rate limits. */
    allowances,
    /** Counts the usage of users and their keys. */
    usage,
    usageReports: createUsageQueries(knex),
    /** Access tokens. */
    tokens,
    /** What streams need: who may continue, and with which ticket a client reconnects. */
    streamAccess: {
      isRevoked: (viewer: Principal): boolean => revocations.covers(viewer),
      /** Calls `listener` when a credential was revoked. */
      onRevoked: (listener: () => void): void => void revocations.onRevoked(() => listener()),
      issueTicket: (viewer: Principal) => ({
        ticket: tokens.issueTicket(viewer),
        expiresInSeconds: tokens.ticketExpiresInSeconds,
      }),
    },
    /** Revoked credentials. */
    revocations,
    audit,
  };
}

/** Counts the usage of users and their keys, until the process ends. */
export function createUsageCounter({
  knex,
  log,
  shutdown,
}: Pick<Platform, 'knex' | 'log' | 'shutdown'>): UsageCounter {
  const usage = createBufferedUsageCounter({ queries: createUsageQueries(knex), log });
  shutdown.add('queues', 'usage', () => usage.close());
  return usage;
}

/** Undefined without a mail server. */
function mailThroughQueue({
  config,
  queues,
}: Pick<Platform, 'config' | 'queues'>): RequestResetMail | undefined {
  return config.SMTP_URL === undefined ? undefined : createResetMail(queues);
}

const mailOncePerMs = 60_000;

/**
 * Requests a reset token by mail through a job, at most once a minute for the same e-mail.
 * @throws {UnavailableError} the queue does not accept it.
 */
export function createResetMail(queues: Pick<Queues, 'add'>): RequestResetMail {
  return async ({ email, address, requestId }) => {
    const id = `reset-${createHash('sha256').update(email).digest('hex')}`;
    try {
      await queues.add(
        'password-reset.mail',
        {
          email,
          ...(address === undefined ? {} : { address }),
          ...(requestId === undefined ? {} : { requestId }),
        },
        { deduplication: { id, ttl: mailOncePerMs } },
      );
    } catch (error) {
      throw new UnavailableError(`Mail cannot be sent at the moment: ${messageOf(error)}`, {
        code: 'queue_unavailable',
        cause: error,
      });
    }
  };
}

/** Tokens then end with the process: fine for a first try, refused in production by the configuration. */
function randomSecret({ log }: Pick<Platform, 'log'>): string {
  log.warn(
    'JWT_SECRET is not set: access tokens stop working when this process restarts, and other processes reject them; set JWT_SECRET',
  );
  return randomBytes(32).toString('hex');
}
