import { createHash } from 'node:crypto';
import { docsPage, docsStyle } from './docs-page.ts';
import { openApiDocument } from './openapi.ts';
import { answerJson } from './envelope.ts';
import { route, type Route } from './route.ts';

const styleHash = createHash('sha256').update(docsStyle).digest('base64');
const contentPolicy = `default-src 'none'; style-src 'sha256-${styleHash}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`;

/** The description of `table` and of these two routes, for programs and for people. */
export function docsRoutes(table: readonly Route[]): Route[] {
  let json = '';
  let page = '';
  const routes = [
    route({
      method: 'GET',
      path: '/openapi.json',
      access: 'open',
      tag: 'Operation',
      summary: 'This description, as an OpenAPI document',
      answers: { 200: 'The document' },
      handler: (ctx) => answerJson(ctx, 200, json),
    }),
    route({
      method: 'GET',
      path: '/docs',
      access: 'open',
      tag: 'Operation',
      summary: 'This description, as a page',
      produces: 'text/html',
      answers: { 200: 'The page' },
      handler: (ctx) => {
        ctx.set('Content-Security-Policy', contentPolicy);
        ctx.set('Content-Type', 'text/html; charset=utf-8');
        ctx.body = page;
      },
    }),
  ];
  const document = openApiDocument([...table, ...routes]);
  json = JSON.stringify(document);
  page = docsPage(document);
  return routes;
}
