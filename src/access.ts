import { randomBytes } from 'node:crypto';
import { createApiKeyQueries } from './features/accounts/queries/api-keys.ts';
import { createAuditQueries } from './features/accounts/queries/audit.ts';
import { createPasswordQueries } from './features/accounts/queries/password-resets.ts';
import { createRevocationQueries } from './features/accounts/queries/revocations.ts';
import { createSessionQueries } from './features/accounts/queries/sessions.ts';
import { createUsageQueries } from './features/accounts/queries/usage.ts';
import { createUserQueries } from './features/accounts/queries/users.ts';
import { createAccountDesk } from './features/accounts/account-service.ts';
import { createApiKeyDesk } from './features/accounts/api-key-service.ts';
import { createAuthenticator } from './features/accounts/authenticator.ts';
import { credentialLifeOf } from './features/accounts/credential-life.ts';
import { createKeyRing } from './features/accounts/api-key-cache.ts';
import { createLogin } from './features/accounts/login.ts';
import { createLoginThrottle } from './features/accounts/login-throttle.ts';
import { createPasswordDesk, type PasswordDeskDeps } from './features/accounts/password-service.ts';
import { createRevocations, type Revocations } from './features/accounts/revocations.ts';
import { createSessions } from './features/accounts/sessions.ts';
import { createUsageTally } from './features/accounts/usage-counter.ts';
import { createPasswords } from './features/accounts/password-hashing.ts';
import { createTokens, type Tokens } from './features/accounts/tokens.ts';
import type { Config } from './platform/config/load-config.ts';
import { createRevocationChannel } from './features/accounts/revocation-channel.ts';
import type { AppDeps } from './app-deps.ts';
import { createAllowances } from './platform/redis/allowances.ts';
import type { Logger } from './platform/observability/logger.ts';
import type { Shutdown } from './platform/observability/shutdown.ts';
import type { Pipeline } from './pipeline.ts';

/**
 * Accounts and access of the API process, wired: who somebody is, what he may do and how often. A composition root like the
 * pipeline.
 */
export interface Access extends Pick<
  AppDeps,
  | 'users'
  | 'accounts'
  | 'tokens'
  | 'passwords'
  | 'passwordDesk'
  | 'login'
  | 'sessions'
  | 'authenticator'
  | 'apiKeys'
  | 'allowances'
  | 'audit'
  | 'usage'
  | 'usageReports'
> {
  readonly revocations: Revocations;
}

export interface AccessRequest {
  readonly config: Config;
  readonly log: Logger;
  readonly shutdown: Shutdown;
  /** Has a mail sent that resets a password; undefined without a mail server. */
  readonly requestMail?: PasswordDeskDeps['requestMail'];
  readonly pipeline: Pick<Pipeline, 'knex' | 'redis' | 'subscriber' | 'keys' | 'clock'>;
}

/** Builds accounts and access. Nothing is waited for. */
export function buildAccess({ config, log, shutdown, pipeline, requestMail }: AccessRequest): Access {
  const { knex, redis, keys, clock } = pipeline;
  const tokens = buildTokens(config, log, pipeline);
  const life = credentialLifeOf(config);
  const revocations = collectRevocations({ log, shutdown, pipeline });
  const passwords = createPasswords({ cost: config.BCRYPT_COST, log });
  shutdown.add('threads', 'password threads', () => passwords.close());
  const usageReports = createUsageQueries(knex);
  const usage = createUsageTally({ queries: usageReports, log });
  shutdown.add('queues', 'usage', () => usage.close());
  const apiKeys = createApiKeyQueries(knex, life);
  const keyRing = createKeyRing({ queries: apiKeys, revocations, clock, log });
  shutdown.add('queues', 'API keys', () => keyRing.close());
  const users = createUserQueries(knex, life);
  const audit = createAuditQueries(knex);
  const queries = createPasswordQueries(knex, life);
  const allowances = createAllowances({ redis, prefix: keys.limits, clock });
  const throttle = createLoginThrottle({ redis, prefix: keys.limits, clock, log });
  const sessions = createSessions({
    queries: createSessionQueries(knex, life),
    tokens,
    revocations,
    refreshExpiresInSeconds: config.REFRESH_EXPIRES_IN,
  });
  const login = createLogin({
    users,
    passwords,
    rehash: (userId, oldHash, newHash) => queries.rehash(userId, oldHash, newHash),
    throttle,
    sessions,
    audit,
    log,
  });
  return {
    users,
    accounts: createAccountDesk({ users, passwords, throttle, revocations }),
    tokens,
    passwords,
    passwordDesk: createPasswordDesk({ queries, passwords, revocations, throttle, allowances, requestMail }),
    login,
    sessions,
    authenticator: createAuthenticator({ tokens, keys: keyRing, revocations }),
    apiKeys: createApiKeyDesk({ queries: apiKeys, revocations }),
    allowances,
    audit,
    usage,
    usageReports,
    revocations,
  };
}

function collectRevocations({
  log,
  shutdown,
  pipeline,
}: Pick<AccessRequest, 'log' | 'shutdown' | 'pipeline'>): Revocations {
  const { knex, redis, subscriber, keys, clock } = pipeline;
  const channel = createRevocationChannel({ redis, subscriber, channel: keys.revocations });
  const revocations = createRevocations({ queries: createRevocationQueries(knex), channel, clock, log });
  shutdown.add('work', 'revocations', () => revocations.close());
  return revocations;
}

function buildTokens(config: Config, log: Logger, { clock }: Pick<Pipeline, 'clock'>): Tokens {
  return createTokens({
    secret: config.JWT_SECRET ?? randomSecret(log),
    previousSecret: config.JWT_SECRET_PREVIOUS,
    expiresInSeconds: config.JWT_EXPIRES_IN,
    ticketExpiresInSeconds: config.STREAM_TICKET_EXPIRES_IN,
    clock,
  });
}

/** Tokens then end with the process: fine for a first try, refused in production by the configuration. */
function randomSecret(log: Logger): string {
  log.warn('JWT_SECRET is not set: tokens are valid until this process ends');
  return randomBytes(32).toString('hex');
}
