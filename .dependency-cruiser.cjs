/** The floors of docs/architecture.md: an import goes to a lower floor or stays in its own room. */
const floors = [
  ['^src/(domain|lib|config)/'],
  ['^src/(auth|providers|demand|events)/', '^db/', '^jobs/'],
  ['^src/(queue|streams|cache)/'],
  ['^src/http/', '^workers/(runtime|processors|threads)/'],
  ['^src/main\\.ts$', '^workers/main\\.ts$', '^embedded/', '^client/'],
];

const upward = floors.slice(0, -1).map((rooms, floor) => ({
  name: `floor-${floor + 1}-imports-upward`,
  severity: 'error',
  from: { path: rooms },
  to: { path: floors.slice(floor + 1).flat() },
}));

const rooms = [
  ['^src/auth/', '^db/', '^src/providers/', '^src/demand/', '^jobs/', '^src/events/'],
  ['^src/queue/', '^src/streams/', '^src/cache/'],
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

module.exports = {
  forbidden: [
    { name: 'no-cycles', severity: 'error', from: {}, to: { circular: true } },
    { name: 'no-orphans', severity: 'error', from: { orphan: true, pathNot: ['\\.d\\.ts$', '^test/', '^db/migrations/', '^workers/threads/', '^bench/', '^scripts/', 'main\\.ts$', '^db/knexfile\\.ts$', '^client/'] }, to: {} },
    ...upward,
    ...sideways,
    never('http-goes-through-its-ports', '^src/http/', ['^src/providers/', 'node_modules/(bullmq|ioredis)/']),
    never('processors-know-no-http', '^workers/', ['^src/http/', '^src/streams/']),
    never('threads-are-pure', '^workers/threads/', '^(src/(?!domain)|db|jobs|workers/(?!threads)|node_modules/(?!decimal\\.js))'),
    never('domain-is-pure', '^src/domain/', ['^src/(?!domain)', '^node_modules/(?!decimal\\.js)', '^(node:)?(fs|net|http|https|child_process|worker_threads)$']),
    { name: 'jobs-know-types-of-bullmq-only', severity: 'error', from: { path: '^jobs/' }, to: { path: 'node_modules/bullmq/', dependencyTypesNot: ['type-only'] } },
    never('undici-only-in-providers', '^(src/(?!providers)|workers|db|jobs)', 'node_modules/undici/'),
    never('tokens-only-in-auth', '^(src/(?!auth)|workers|db|jobs)', 'node_modules/(jsonwebtoken|bcrypt)/'),
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: { conditionNames: ['import', 'node', 'default', 'types'], exportsFields: ['exports'] },
  },
};
