/**
 * The fleet under PM2, of the build in dist/. `npm run fleet` builds, checks the configuration, migrates and starts it in the
 * foreground; `pm2 reload ecosystem.config.js` renews it without a failed request. PM2 reads an ES module's *named* exports.
 *
 * Readiness: both kinds of process send `ready` when they can take work. Their end takes 10 s at most (PM2 sends SIGINT), so
 * PM2 kills after 12. A process that crashes is started again at once, and ever more slowly if it goes on crashing.
 */
const { API_INSTANCES = '2', WORKER_INSTANCES = '2' } = process.env;

const common = {
  cwd: import.meta.dirname,
  wait_ready: true,
  listen_timeout: 20_000,
  kill_timeout: 12_000,
  exp_backoff_restart_delay: 200,
  merge_logs: true,
  // Neither is of use here, and both spawn processes of their own.
  vizion: false,
  pmx: false,
  env: { NODE_ENV: 'production' },
};

export const apps = [
  {
    ...common,
    name: 'api',
    script: 'dist/src/main.js',
    exec_mode: 'cluster',
    instances: Number(API_INSTANCES),
    max_memory_restart: '1G',
  },
  {
    ...common,
    name: 'worker',
    script: 'dist/workers/main.js',
    exec_mode: 'fork',
    instances: Number(WORKER_INSTANCES),
    max_memory_restart: '1G',
  },
];
