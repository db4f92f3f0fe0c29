import { createHash } from 'node:crypto';
import {
  openApiDocument,
  type OpenApiDocument,
  type OpenApiOperation,
  type OpenApiParameter,
} from './openapi.ts';
import { respondJson } from './envelope.ts';
import { route, type Route } from './route.ts';

/** The whole style of the page; its hash stands in the page's content policy. */
const docsStyle = `
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #1b1f24; background: #fff }
h2 { margin-top: 2.5rem; border-bottom: 1px solid #d0d7de }
details { border: 1px solid #d0d7de; border-radius: 6px; margin: .5rem 0; padding: .5rem .75rem }
summary { cursor: pointer }
code, pre { font: 14px/1.4 ui-monospace, monospace }
pre { overflow: auto; background: #f6f8fa; padding: .75rem; border-radius: 6px }
table { border-collapse: collapse; width: 100% }
td, th { text-align: left; vertical-align: top; padding: .25rem .75rem .25rem 0; border-top: 1px solid #eaeef2 }
.method { display: inline-block; min-width: 4.5rem; font-weight: 700 }
.lock { color: #6e7781 }
@media (prefers-color-scheme: dark) {
  body { background: #0d1117; color: #e6edf3 }
  pre { background: #161b22 }
  details, h2, td, th { border-color: #30363d }
}`;
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
      summary: 'Get this API description as an OpenAPI document',
      responses: { 200: 'The document' },
      handler: (ctx) => respondJson(ctx, 200, json),
    }),
    route({
      method: 'GET',
      path: '/docs',
      access: 'open',
      tag: 'Operation',
      summary: 'Get this API description as a page',
      produces: 'text/html',
      responses: { 200: 'The page' },
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

/** The document as a page that stands alone: no script, nothing fetched. */
function docsPage({ info, paths }: OpenApiDocument): string {
  const operations = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ path, method, operation })),
  );
  const tags = [...new Set(operations.flatMap(({ operation }) => operation.tags))];
  const sections = tags.map((tag) => {
    const own = operations.filter(({ operation }) => operation.tags.includes(tag));
    return `<h2>${escape(tag)}</h2>${own.map(operationHtml).join('')}`;
  });
  return `<!doctype html><html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>${escape(info.title)} API</title>
<style>${docsStyle}</style></head><body><h1>${escape(info.title)} API</h1>
<p>${escape(info.description)} For programs: <a href="/openapi.json">openapi.json</a>.</p>${sections.join('')}</body></html>`;
}

function operationHtml({
  path,
  method,
  operation,
}: {
  readonly path: string;
  readonly method: string;
  readonly operation: OpenApiOperation;
}): string {
  const lock = operation.security.length > 0 ? ' <span class="lock">(token)</span>' : '';
  const heading = `<span class="method">${escape(method.toUpperCase())}</span><code>${escape(path)}</code>`;
  const description = operation.description === undefined ? '' : `<p>${escape(operation.description)}</p>`;
  return `<details><summary>${heading} — ${escape(operation.summary)}${lock}</summary>${description}${parametersHtml(
    operation.parameters,
  )}${bodyHtml(operation)}${responsesHtml(operation)}</details>`;
}

function parametersHtml(parameters: readonly OpenApiParameter[]): string {
  if (parameters.length === 0) return '';
  const rows = parameters.map(({ name, in: place, required, description = '', schema }) => {
    const need = required
      ? 'required'
      : schema['default'] === undefined
        ? ''
        : `default ${JSON.stringify(schema['default'])}`;
    const cells = [place, need, description].map((text) => `<td>${escape(text)}</td>`).join('');
    return `<tr><td><code>${escape(name)}</code></td>${cells}</tr>`;
  });
  return `<h4>Parameters</h4><table>${rows.join('')}</table>`;
}

function bodyHtml({ requestBody }: OpenApiOperation): string {
  if (requestBody === undefined) return '';
  return `<h4>Body</h4><pre>${escape(JSON.stringify(requestBody['content'], undefined, 2))}</pre>`;
}

function responsesHtml({ responses }: OpenApiOperation): string {
  const rows = Object.entries(responses).map(
    ([status, { description }]) => `<tr><td><code>${status}</code></td><td>${escape(description)}</td></tr>`,
  );
  return `<h4>Responses</h4><table>${rows.join('')}</table>`;
}

const entities: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

function escape(text: string): string {
  return text.replaceAll(/[&<>"']/g, (each) => entities[each] ?? each);
}
