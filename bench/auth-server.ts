/**
 * The same cached answer behind two routes, one open and one for users, under the real layers with their limits on: what lies
 * between the two is what it costs to know who asks.
 */
import { createAccountService } from '../src/features/accounts/account-service.ts';
import { loadConfig } from '../src/platform/config/load-config.ts';
import type { Access } from '../src/platform/http/access-rule.ts';
import type { ApiContext, HttpContext } from '../src/platform/http/context.ts';
import { listen } from '../src/platform/http/listen.ts';
import { createAdmit } from '../src/platform/http/admission.ts';
import { respondDirectly, envelopeOf } from '../src/platform/http/envelope.ts';
import { route, type Route } from '../src/platform/http/route.ts';
import { serveModules } from '../src/platform/http/serve-modules.ts';
import { systemClock } from '../src/platform/concurrency/clock.ts';
import { createLogger } from '../src/platform/observability/logger.ts';
import { createMetrics } from '../src/platform/observability/metrics-registry.ts';
import { createShutdown, onProcessEnd } from '../src/platform/observability/shutdown.ts';
import { openPlatform } from '../src/platform/platform.ts';

const quote = {
  id: 'bitcoin',
  symbol: 'btc',
  name: 'Bitcoin',
  currency: 'usd',
  price: 96_123.45,
  market_cap: 1_917_662_827_500,
  rank: 1,
  change_24h: 312.4,
  change_percent_24h: 0.33,
  volume_24h: 30_120_000_000,
  source: 'coingecko',
  as_of: '2026-11-22T14:00:01.000Z',
  received_at: '2026-11-22T14:00:12.345Z',
  fetched_at: '2026-11-22T14:00:12.345Z',
  state: 'fresh',
};
const bodies = new Map([['bitcoin', envelopeOf('Quote', JSON.stringify(quote))]]);

function answerCached(exchange: HttpContext): boolean {
  const body = bodies.get(exchange.params?.['coinId'] ?? '');
  if (body === undefined) return false;
  respondDirectly(exchange, body);
  return true;
}

function cached(access: Exclude<Access, 'admin'>, path: string): Route {
  const described = {
    method: 'GET',
    path,
    tag: 'Bench',
    summary: 'A cached quote',
    responses: { 200: 'The quote' },
    fastPath: answerCached,
    handler: (ctx: ApiContext): void => void (ctx.status = 404),
  } as const;
  return access === 'open'
    ? route({ ...described, access })
    : route({ ...described, access, scope: 'prices:read' });
}

async function main(): Promise<void> {
  const config = loadConfig();
  const log = createLogger({ level: config.LOG_LEVEL, name: 'bench', file: config.LOG_FILE });
  const shutdown = createShutdown(log);
  onProcessEnd(shutdown, log);
  const access = createAccountService(openPlatform({ config, log, shutdown }));
  await access.revocations.whenKnown(5_000);

  const metrics = createMetrics();
  const admit = createAdmit({ ...access, config, clock: systemClock });
  const routes = [cached('open', '/api/v1/open/:coinId'), cached('user', '/api/v1/crypto/:coinId')];
  const app = serveModules([{ routes }], { admit, config, log, metrics });
  const server = await listen(app, { host: '127.0.0.1', port: config.PORT });
  shutdown.add('accept', 'http server', () => server.close());
  process.send?.('ready');
}

await main();
