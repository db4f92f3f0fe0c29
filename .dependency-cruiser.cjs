/**
 * The house: features stand over a platform. `platform` and `domain` import no feature; a feature imports only features before
 * it in the order below; each package belongs to one room. `embedded`, `test`, `bench` and `scripts` may import everything, and
 * nobody imports them.
 */
const features = [
  'accounts',
  'assets',
  'webhooks',
  'jobs',
  'quotes',
  'upstream',
  'rates',
  'history',
  'coingecko-api',
  'portfolios',
  'alerts',
  'admin',
];
const beside = ['^embedded/', '^client/', '^test/', '^bench/', '^scripts/'];
const house = '^(src|workers|jobs|db)/';
const mains = '^(src/[^/]+\\.ts|src/commands/|workers/[^/]+\\.ts)';

const never = (name, from, to) => ({ name, severity: 'error', from: { path: from }, to: { path: to } });

/** A feature and its processors import only features before it. */
const order = features.slice(0, -1).map((feature, index) => {
  const later = features.slice(index + 1).join('|');
  return never(
    `${feature}-comes-before`,
    `^(src/features|workers/processors)/${feature}/`,
    `^(src/features|workers/processors)/(${later})/`,
  );
});

/** Types may be named anywhere; the package itself is used in one room only. */
const onlyIn = (name, rooms, packages) => ({
  name,
  severity: 'error',
  from: { path: house, pathNot: rooms },
  to: { path: `node_modules/(${packages})/`, dependencyTypesNot: ['type-only'] },
});

module.exports = {
  forbidden: [
    { name: 'no-cycles', severity: 'error', from: {}, to: { circular: true } },
    { name: 'no-unresolvable', severity: 'error', from: {}, to: { couldNotResolve: true } },
    {
      name: 'no-orphans',
      severity: 'error',
      from: {
        orphan: true,
        pathNot: [
          '\\.d\\.ts$',
          '^test/',
          '^db/migrations/',
          '^workers/threads/',
          '^bench/',
          '^scripts/',
          'main\\.ts$',
          '^client/',
        ],
      },
      to: {},
    },
    {
      name: 'no-dev-packages-in-production',
      severity: 'error',
      from: { path: [house, '^embedded/', '^client/'] },
      to: {
        dependencyTypes: ['npm-dev'],
        dependencyTypesNot: ['type-only'],
        pathNot: 'node_modules/@types/',
      },
    },
    never('platform-knows-no-feature', '^src/platform/', '^(src/features|workers)/'),
    never('domain-is-shared-vocabulary', '^src/domain/', [
      '^(src/(?!domain)|workers|db|jobs)',
      'node_modules/(?!decimal\\.js)',
      '^(node:)?(fs|net|http|https|child_process|worker_threads)$',
    ]),
    never('jobs-know-the-domain-only', '^jobs/', '^(src/(?!domain)|workers|db)/'),
    never('db-knows-no-feature', '^db/', '^(src/features|workers|jobs)/'),
    ...order,
    never(
      'nobody-imports-a-main',
      '^(src/(platform|domain|features)|workers/(runtime|processors|threads)|jobs|db)/',
      mains,
    ),
    never('nobody-imports-what-stands-beside', house, beside),
    never('embedded-is-no-test', ['^embedded/', '^client/'], ['^test/', '^bench/', '^scripts/']),
    {
      name: 'client-stands-alone',
      severity: 'error',
      from: { path: '^client/' },
      to: { pathNot: '^client/' },
    },
    never('http-knows-no-workers', '^src/', '^workers/'),
    never('workers-know-no-http', '^workers/', [
      '^src/platform/(http|realtime)/',
      '^src/features/.*(routes|schemas|module)\\.ts$',
    ]),
    never('runtime-knows-no-feature', '^workers/runtime/', '^(src/features|workers/processors)/'),
    never('threads-are-pure', '^workers/threads/', [
      '^src/(?!domain|features/portfolios/(ledger|performance)/|features/quotes/aggregate)',
      '^(db|jobs|workers/(?!threads))',
      'node_modules/(?!decimal\\.js)',
    ]),
    never('ledger-is-pure', '^src/features/portfolios/ledger/', [
      '^(src/(?!features/portfolios/ledger|domain)|workers|db|jobs)',
      'node_modules/(?!decimal\\.js)',
      '^(node:)?(fs|net|http|https|child_process|worker_threads)$',
    ]),
    onlyIn('bullmq-only-in-queue-and-runtime', ['^src/platform/queue/', '^workers/runtime/'], 'bullmq'),
    onlyIn('ioredis-only-in-redis', ['^src/platform/redis/'], 'ioredis'),
    onlyIn('sql-only-in-db', ['^db/', '^src/features/[^/]+/queries/'], 'knex|objection|pg'),
    onlyIn(
      'undici-only-in-upstream-and-webhooks',
      ['^src/features/(upstream|webhooks)/'],
      'undici|bottleneck',
    ),
    onlyIn('tokens-only-in-accounts', ['^src/features/accounts/'], 'jsonwebtoken|bcrypt'),
    // A file that is uploaded is read while it comes, by the feature that it goes to.
    onlyIn(
      'koa-only-in-http',
      ['^src/platform/http/', '^src/features/portfolios/importers/upload\\.ts$'],
      'koa|@koa|koa-body',
    ),
    onlyIn('mail-only-in-mail', ['^src/platform/mail/'], 'nodemailer'),
    onlyIn(
      'threads-only-in-runtime-and-accounts',
      ['^workers/runtime/', '^src/features/accounts/'],
      'piscina',
    ),
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: {
      conditionNames: ['import', 'node', 'default', 'types'],
      exportsFields: ['exports'],
    },
  },
};
