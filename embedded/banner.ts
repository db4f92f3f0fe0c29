import { priceSources } from '../src/platform/config/provider-settings.ts';
import { settings } from '../src/platform/config/settings.ts';
import type { Plan } from './plan.ts';

/** Without a URL the demo looks at the default address of the API. */
function demoCommandOf(url: string): string {
  const isDefault = url === `http://${settings.HOST.defaultText}:${settings.PORT.defaultText}`;
  return isDefault ? 'npm run demo' : `npm run demo -- --url ${url}`;
}

/** What the operator sees when everything is ready. */
export function bannerOf({
  plan,
  url,
  dataDir,
  logDir,
  seconds,
}: {
  readonly plan: Plan;
  readonly url: string;
  readonly dataDir: string;
  readonly logDir: string;
  readonly seconds: number;
}): string {
  const embedded = (is: boolean, variable: string): string => (is ? 'embedded' : `yours (${variable})`);
  const real = [
    plan.postgres ? 'DATABASE_URL=postgres://user:password@host/database' : '',
    plan.redis ? 'REDIS_URL=redis://host:6379' : '',
    plan.market === undefined
      ? ''
      : 'PROVIDER=coingecko   (free; with a key: COINGECKO_API_KEY and COINGECKO_PLAN)',
  ].filter((line) => line !== '');
  const lines = [
    '',
    `  Pricepool is ready after ${seconds.toFixed(1)} s`,
    '',
    `    API        ${url}   (documentation: ${url}/docs)`,
    `    Prices     ${priceSources[plan.provider]}`,
    `    Postgres   ${embedded(plan.postgres, 'DATABASE_URL')}`,
    `    Redis      ${embedded(plan.redis, 'REDIS_URL')}`,
    ...(plan.postgres || plan.redis ? [`    Files      ${dataDir}`] : []),
    `    Logs       ${logDir}`,
    '',
    `    See it work:  ${demoCommandOf(url)}`,
    ...(real.length === 0 ? [] : ['    To use real services, set:', ...real.map((line) => `      ${line}`)]),
    '    Stop with Ctrl-C.',
    '',
  ];
  return lines.join('\n');
}
