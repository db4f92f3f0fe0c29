/** What the maker of the upgrade fixture (test/support/make-upgrade-fixture.ts) leaves beside the dump for the test that starts from it. */
import { join } from 'node:path';
import { projectRoot } from '../../embedded/project-root.ts';
import { withoutVolatile } from './pinned.ts';

/** Folder of the fixture: the dump, and what is known of it. */
export const upgradeFolder = join(projectRoot, 'test/fixtures/upgrade');
export const dumpFile = join(upgradeFolder, 'dump.json.gz');
export const knownFile = join(upgradeFolder, 'known.json.gz');

/** Upstream calls that the fixture's deployment may make in any minute. */
export const callsPerMinute = 12;
/** Credits of its month: so many that pacing leaves room for the minute. */
const creditsPerMonth = 200_000;

/** What the dump was made with, who is in it, and what its deployment answered last. */
export interface Known {
  readonly prefix: string;
  readonly jwtSecret: string;
  /** Where webhooks went to, and where the mail links point to. */
  readonly receiverUrl: string;
  /** Begin (ms) of the month that credits were spent in. */
  readonly monthStart: number;
  /** Times (ms) of the upstream calls, and credits spent in the month. */
  readonly callsAt: readonly number[];
  readonly creditsSpent: number;
  readonly people: Readonly<Record<'owner' | 'other' | 'admin' | 'deleted', KnownPerson>>;
  /** Raw keys by their scopes, joined with a space; `revoked` is one more. */
  readonly keys: Readonly<Record<string, string>>;
  readonly portfolioId: string;
  /** A portfolio that had changes, an import, figures and a rebuild waiting. */
  readonly waitingPortfolioId: string;
  /** Jobs of clients that waited. */
  readonly jobIds: readonly string[];
  /** Webhook that waited. */
  readonly deliveryId: string;
  /** Answers by `<who> <path>`, without what is new in every run. */
  readonly answers: Readonly<Record<string, unknown>>;
}

/** Somebody with an account. */
export interface KnownPerson {
  readonly id: string;
  readonly username: string;
  readonly email: string;
  readonly password: string;
  readonly token: string;
  readonly refreshToken: string;
}

/** The day of the month on which the month begins that is half over at a moment, and its begin (ms). */
export function monthAround(nowMs: number): { readonly startsOn: number; readonly begin: number } {
  const then = new Date(nowMs - 14 * 86_400_000);
  return {
    startsOn: then.getUTCDate(),
    begin: Date.UTC(then.getUTCFullYear(), then.getUTCMonth(), then.getUTCDate()),
  };
}

/** Settings of the fixture's deployment, besides those of every stack. */
export function upgradeSettings(nowMs: number, smtpUrl: string): Record<string, string> {
  return {
    UPSTREAM_CALLS_PER_MINUTE: String(callsPerMinute),
    UPSTREAM_CREDITS_PER_MONTH: String(creditsPerMonth),
    UPSTREAM_MONTH_STARTS_ON: String(monthAround(nowMs).startsOn),
    ASSET_SYNC: 'daily',
    ASSET_RANK_PAGES: '0',
    SMTP_URL: smtpUrl,
    PUBLIC_URL: 'http://127.0.0.1:1',
    WEBHOOK_ALLOWED_NETWORKS: 'loopback',
    READ_WAIT: '300ms',
    JWT_EXPIRES_IN: '300d',
    REFRESH_EXPIRES_IN: '300d',
    JOB_RETENTION: '300d',
    HISTORY_RETENTION_5M: '3650d',
    HISTORY_RETENTION_1H: '3650d',
  };
}

/** Paths of which the owner's answers stay the same over an upgrade. */
export function stablePaths(known: Pick<Known, 'portfolioId'>): readonly string[] {
  const portfolio = `/api/v1/portfolios/${known.portfolioId}`;
  return [
    '/api/v1/users/me',
    '/api/v1/portfolios',
    portfolio,
    `${portfolio}/transactions?limit=100`,
    `${portfolio}/changes?limit=100`,
    `${portfolio}/positions?status=all`,
    `${portfolio}/lots`,
    `${portfolio}/realised`,
    `${portfolio}/imports`,
    `${portfolio}/export?format=json`,
    `${portfolio}/export?format=csv&kind=realised`,
    '/api/v1/alerts/firings',
    '/api/v1/webhooks/secret',
    '/api/v1/api-keys',
    '/api/v3/coins/bitcoin/market_chart/range?vs_currency=usd&from=2021-01-01&to=2021-02-15',
    '/api/v3/coins/bitcoin/history?date=15-01-2021',
  ];
}

const nowAlso: Readonly<Record<string, readonly string[]>> = {
  'portfolio:read': ['alerts:read', 'webhooks:read'],
  'portfolio:write': ['alerts:write', 'webhooks:write'],
};

/** An answer of the fixture in the words of now: what has been renamed since (CHANGELOG). */
export function inWordsOfNow(value: unknown): unknown {
  if (typeof value === 'string') return value.replaceAll(/\bgiven_(asset|quantity)\b/g, 'sent_$1');
  if (Array.isArray(value)) return value.map(inWordsOfNow);
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, each]: [string, unknown]) => {
      if (/^given_(asset|quantity)$/.test(name)) return [name.replace('given', 'sent'), each];
      if (name === 'given') return ['sent', inWordsOfNow(each)];
      if (name === 'on_error') return [name, each === 'keep_good' ? 'skip' : 'abort'];
      if (name === 'scopes' && Array.isArray(each))
        return [name, [...each, ...each.flatMap((scope: string) => nowAlso[scope] ?? [])]];
      return [name, inWordsOfNow(each)];
    }),
  );
}

/** An answer without the numbers that the fixture leaves open: those that might have been a moment when it was made. */
export function asOpenAs(fixture: unknown, answer: unknown): unknown {
  if (fixture === '<ms>' && typeof answer === 'number') return fixture;
  if (Array.isArray(fixture) && Array.isArray(answer))
    return answer.map((each, index) => asOpenAs(fixture[index], each));
  if (fixture === null || typeof fixture !== 'object' || answer === null || typeof answer !== 'object')
    return answer;
  const known = fixture as Readonly<Record<string, unknown>>;
  return Object.fromEntries(
    Object.entries(answer).map(([name, each]: [string, unknown]) => [name, asOpenAs(known[name], each)]),
  );
}

/** Status and body of an answer that is to stay the same. */
export async function stableAnswer(url: string, token: string, path: string): Promise<unknown> {
  const response = await fetch(url + path, {
    headers: { authorization: `Bearer ${token}` },
    signal: AbortSignal.timeout(20_000),
  });
  const text = await response.text();
  const isJson = response.headers.get('content-type')?.includes('json') === true;
  return {
    status: response.status,
    body: withoutVolatile(isJson ? JSON.parse(text) : text, { exact: true }),
  };
}
