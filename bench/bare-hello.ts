/** The least that Koa and its router can do, for comparison: no log, no metrics, no token. */
import Router from '@koa/router';
import Koa from 'koa';

const app = new Koa();
const router = new Router();
router.get('/hello/:name', (ctx) => {
  ctx.body = 'hello world';
});
app.use(router.routes());
app.listen({ host: '127.0.0.1', port: Number(process.env['PORT']) }, () => process.send?.('ready'));
process.on('SIGTERM', () => process.exit(0));
