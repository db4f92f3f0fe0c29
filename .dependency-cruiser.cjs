/**
 * The floors of docs/architecture.md: an import goes to a lower floor or stays in its own room. `embedded`, `test`, `bench`
 * and `scripts` stand beside the house: they may import everything, and nobody imports them.
 */
const floors = [
  ['^src/(domain|lib|config|books)/'],
  ['^src/(auth|providers|demand|events|mail|webhooks)/', '^db/', '^jobs/'],
  ['^src/(queue|streams|cache|assets|accounts|history|portfolio|alerts)/'],
  ['^src/http/', '^workers/(runtime|processors|threads)/'],
  [
    '^src/(main|pipeline|mirroring|budgets|sources|access|streaming|portfolios|hooks|valuations|create-admin|histories|import-history|reset-password)\\.ts$',
    '^workers/(main|upstream|portfolios|hooks|parts)\\.ts$',
  ],
];
const beside = ['^embedded/', '^client/', '^test/', '^bench/', '^scripts/'];
const house = '^(src|workers|jobs|db)/';

const upward = floors.slice(0, -1).map((rooms, floor) => ({
  name: `floor-${floor + 1}-imports-upward`,
  severity: 'error',
  from: { path: rooms },
  to: { path: floors.slice(floor + 1).flat() },
}));

const rooms = [
  [
    '^src/auth/',
    '^db/',
    '^src/providers/',
    '^src/demand/',
    '^jobs/',
    '^src/events/',
    '^src/mail/',
    '^src/webhooks/',
  ],
  [
    '^src/queue/',
    '^src/streams/',
    '^src/cache/',
    '^src/assets/',
    '^src/accounts/',
    '^src/history/',
    '^src/portfolio/',
    '^src/alerts/',
  ],
  ['^src/http/', '^workers/'],
];

const sideways = rooms.flatMap((floor) =>
  floor.map((room) => ({
    name: `sideways-from-${room.replaceAll(/[^a-z]/g, '')}`,
    severity: 'error',
    from: { path: room },
    to: { path: floor.filter((other) => other !== room) },
  })),
);

const never = (name, from, to) => ({ name, severity: 'error', from: { path: from }, to: { path: to } });

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
    ...upward,
    ...sideways,
    never('nobody-imports-what-stands-beside', house, beside),
    never('embedded-is-no-test', ['^embedded/', '^client/'], ['^test/', '^bench/', '^scripts/']),
    {
      name: 'client-stands-alone',
      severity: 'error',
      from: { path: '^client/' },
      to: { pathNot: '^client/' },
    },
    never('http-goes-through-its-ports', '^src/http/', ['^src/providers/', 'node_modules/(bullmq|ioredis)/']),
    never('workers-know-no-http', '^workers/', ['^src/http/', '^src/streams/']),
    never(
      'threads-are-pure',
      '^workers/threads/',
      '^(src/(?!domain|books)|db|jobs|workers/(?!threads)|node_modules/(?!decimal\\.js))',
    ),
    never('books-are-pure', '^src/books/', [
      '^src/(?!books|domain|lib/errors)',
      'node_modules/',
      '^(node:)?(fs|net|http|https|child_process|worker_threads)$',
    ]),
    never('domain-is-pure', '^src/domain/', [
      '^src/(?!domain)',
      'node_modules/(?!decimal\\.js)',
      '^(node:)?(fs|net|http|https|child_process|worker_threads)$',
    ]),
    onlyIn('bullmq-only-in-queue-and-runtime', ['^src/queue/', '^workers/runtime/'], 'bullmq'),
    onlyIn('ioredis-only-in-queue', ['^src/queue/'], 'ioredis'),
    onlyIn('sql-only-in-db', ['^db/'], 'knex|objection|pg'),
    onlyIn(
      'undici-only-in-providers-and-webhooks',
      ['^src/providers/', '^src/webhooks/'],
      'undici|bottleneck',
    ),
    onlyIn('tokens-only-in-auth', ['^src/auth/'], 'jsonwebtoken|bcrypt'),
    onlyIn('koa-only-in-http', ['^src/http/'], 'koa|@koa|koa-body'),
    onlyIn('mail-only-in-mail', ['^src/mail/'], 'nodemailer'),
    onlyIn('threads-only-in-runtime-and-auth', ['^workers/runtime/', '^src/auth/'], 'piscina'),
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
