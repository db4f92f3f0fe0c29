import Koa from 'koa'; import Router from '@koa/router'; import { createServer } from 'node:http'; import { fork } from 'node:child_process';
import { createLogger } from '/work/main/src/lib/logger.ts';
import { listen } from '/work/main/src/http/listen.ts';
import { startApi } from '/work/main/test/http/support/ports.ts';
const body = '{"id":"bitcoin","symbol":"btc","name":"Bitcoin","currency":"usd","price":64213.12,"market_cap":1263000000000,"rank":1,"change_24h":-512.3,"change_percent_24h":-0.79,"volume_24h":32000000000,"source":"simulated","as_of":"2026-11-22T13:49:53.000Z","received_at":"2026-11-22T13:49:53.000Z","fetched_at":"2026-11-22T13:49:53.000Z","state":"fresh"}';
const which = process.argv[2];
if (which === 'bare') {
  const app = new Koa(); const router = new Router();
  router.get('/hello', (ctx) => { ctx.body = { hello: 'world' }; });
  app.use(router.routes()); app.use(router.allowedMethods());
  const l = await listen(app, { host: '127.0.0.1', port: 0 }); console.log(`PORT ${l.port} /hello -`);
} else {
  const log = process.argv[3] === 'nolog' ? undefined : createLogger({ level: 'info', name: 'api', file: '/tmp/h4access.log' });
  const api = await startApi(log ? { log } : {});
  api.quotes.fresh.set('bitcoin/usd', body);
  console.log(`PORT ${api.port} /api/v1/crypto/bitcoin ${api.token}`);
}
process.on('message', (m) => { if (m === 'exit') process.exit(0); if (m === 'cpu') process.send!(process.cpuUsage()); });
