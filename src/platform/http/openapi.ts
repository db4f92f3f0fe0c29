/** Builds the OpenAPI 3.1 document from the route table and its schemas. */
import { z } from 'zod';
import { scopesOf } from './access-rule.ts';
import type { Route } from './route.ts';

type Json = Record<string, unknown>;

export interface OpenApiOperation {
  readonly tags: readonly string[];
  readonly summary: string;
  readonly description?: string;
  readonly deprecated?: true;
  readonly operationId: string;
  readonly security: readonly Json[];
  readonly parameters: readonly OpenApiParameter[];
  readonly requestBody?: Json;
  readonly responses: Readonly<Record<string, { readonly description: string }>>;
}

export interface OpenApiParameter {
  readonly name: string;
  readonly in: 'path' | 'query' | 'header';
  readonly required: boolean;
  readonly description?: string;
  readonly schema: Json;
}

export interface OpenApiDocument {
  readonly openapi: string;
  readonly info: { readonly title: string; readonly version: string; readonly description: string };
  readonly paths: Readonly<Record<string, Readonly<Record<string, OpenApiOperation>>>>;
  readonly components: Json;
}

const envelope: Json = {
  type: 'object',
  required: ['success', 'message', 'data'],
  properties: { success: { const: true }, message: { type: 'string' }, data: {} },
};

const problem: Json = {
  type: 'object',
  required: ['success', 'message', 'error', 'request_id'],
  properties: {
    success: { const: false },
    message: { type: 'string' },
    error: {
      type: 'object',
      required: ['code', 'detail'],
      properties: {
        code: { type: 'string' },
        detail: { type: 'string' },
        fields: {
          type: 'array',
          items: { type: 'object', properties: { field: { type: 'string' }, message: { type: 'string' } } },
        },
      },
    },
    request_id: { type: 'string' },
  },
};

/** Where clients of CoinGecko put their key; here it is one of ours. */
const coinGeckoKeys = {
  demoKey: {
    type: 'apiKey',
    in: 'header',
    name: 'x-cg-demo-api-key',
    description: 'An API key of this server',
  },
  proKey: {
    type: 'apiKey',
    in: 'header',
    name: 'x-cg-pro-api-key',
    description: 'An API key of this server',
  },
  demoKeyInQuery: {
    type: 'apiKey',
    in: 'query',
    name: 'x_cg_demo_api_key',
    description: 'An API key of this server',
  },
  proKeyInQuery: {
    type: 'apiKey',
    in: 'query',
    name: 'x_cg_pro_api_key',
    description: 'An API key of this server',
  },
};

const coinGeckoError: Json = {
  type: 'object',
  properties: {
    error: { type: 'string' },
    status: {
      type: 'object',
      properties: {
        timestamp: { type: 'string' },
        error_code: {},
        error_message: { type: 'string' },
      },
    },
  },
};

/** Describes every route of the table. */
export function openApiDocument(table: readonly Route[]): OpenApiDocument {
  const paths: Record<string, Record<string, OpenApiOperation>> = {};
  for (const each of table) {
    const path = each.path.replaceAll(/:(\w+)/g, '{$1}');
    paths[path] = { ...paths[path], [each.method.toLowerCase()]: operationOf(each) };
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'Pricepool',
      version: '1',
      description: 'Crypto prices and portfolio values for many clients from one upstream budget.',
    },
    paths,
    components: {
      securitySchemes: {
        bearer: { type: 'http', scheme: 'bearer', description: 'An access token or an API key' },
        apiKey: { type: 'apiKey', in: 'header', name: 'X-Api-Key' },
        ticket: { type: 'apiKey', in: 'query', name: 'ticket', description: 'A stream ticket' },
        ...coinGeckoKeys,
      },
      schemas: { Envelope: envelope, Problem: problem, CoinGeckoError: coinGeckoError },
    },
  };
}

function operationOf(each: Route): OpenApiOperation {
  return {
    tags: [each.tag],
    summary: each.summary,
    ...(each.description === undefined ? {} : { description: each.description }),
    ...(each.deprecated === true ? { deprecated: true as const } : {}),
    operationId: `${each.method.toLowerCase()}${each.path.replaceAll(/[^A-Za-z0-9]+(\w)/g, (_all, next: string) => next.toUpperCase())}`,
    security: securityOf(each),
    parameters: [
      ...parametersOf(each.params, 'path'),
      ...parametersOf(each.query, 'query'),
      ...Object.entries(each.headers ?? {}).map(headerParameter),
    ],
    ...(each.body === undefined
      ? {}
      : {
          requestBody: { required: true, content: { 'application/json': { schema: schemaOf(each.body) } } },
        }),
    ...(each.takes === undefined ? {} : { requestBody: uploadOf(each.takes) }),
    responses: responsesOf(each),
  };
}

function uploadOf(takes: NonNullable<Route['takes']>): Json {
  const content = Object.entries(takes).map(([type, schema]) => [type, { schema }]);
  return { required: true, content: Object.fromEntries(content) as Json };
}

/** Any of these will do; scopes are those of API keys. */
function securityOf({ access, scope, takesTicket, api }: Route): Json[] {
  if (access === 'open') return [];
  const scopes = scopesOf(scope);
  // Scopes of one entry are all needed: where one of several will do, each is an entry.
  const choices = scopes.length === 0 ? [[]] : scopes.map((each) => [each]);
  const key = scope === 'session' ? [] : choices.map((apiKey) => ({ apiKey }));
  const ticket = takesTicket === true ? [{ ticket: [] }] : [];
  const coinGecko = api === 'v3' ? Object.keys(coinGeckoKeys).map((name) => ({ [name]: scopes })) : [];
  return [{ bearer: scopes }, ...key, ...ticket, ...coinGecko];
}

function schemaOf(schema: z.ZodType): Json {
  const described: Json = { ...z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }) };
  delete described['$schema'];
  return described;
}

function parametersOf(schema: z.ZodType | undefined, place: 'path' | 'query'): OpenApiParameter[] {
  if (schema === undefined) return [];
  const { properties = {}, required = [] } = schemaOf(schema) as {
    readonly properties?: Readonly<Record<string, Json>>;
    readonly required?: readonly string[];
  };
  return Object.entries(properties).map(([name, described]) => ({
    name,
    in: place,
    required: place === 'path' || required.includes(name),
    schema: described,
  }));
}

function headerParameter([name, description]: [string, string]): OpenApiParameter {
  return { name, in: 'header', required: false, description, schema: { type: 'string' } };
}

function responsesOf(each: Route): Record<string, { description: string }> {
  const implied: Record<number, string> = {
    ...(each.access === 'open'
      ? {}
      : {
          401: 'No valid credential',
          403: refusalOf(each),
          503: 'Credentials cannot be checked for now; see Retry-After',
        }),
    ...(each.unlimited === true ? {} : { 429: 'Too many requests; see RateLimit and Retry-After' }),
    ...(each.body === undefined
      ? {}
      : { 400: 'Not readable as JSON', 413: 'Larger than 1 MB', 415: 'Not JSON' }),
    ...((each.body ?? each.query ?? each.params)
      ? {
          422:
            each.api === 'v3'
              ? 'A parameter is missing or wrong'
              : 'A field is not valid; error.fields names it',
        }
      : {}),
  };
  const described = Object.entries({ ...implied, ...each.responses });
  return Object.fromEntries(
    described.map(([status, description]) => [status, responseOf(each, status, description)]),
  );
}

function refusalOf({ access, scope }: Route): string {
  if (access === 'admin') return 'Admins only; an API key also needs the scope admin';
  if (scope === 'session') return 'Not with an API key';
  return scope === 'any' ? 'Never' : `The API key lacks the scope ${scopesOf(scope).join(' or ')}`;
}

function responseOf(
  each: Route,
  status: string,
  description: string,
): { description: string; content?: Json } {
  if (status === '304') return { description };
  const isGood = status.startsWith('2');
  if (isGood && each.produces !== undefined) return { description, content: { [each.produces]: {} } };
  if (each.api === 'v3' && isGood) return { description, content: { 'application/json': {} } };
  const refusal = each.api === 'v3' ? 'CoinGeckoError' : 'Problem';
  const schema = { $ref: `#/components/schemas/${isGood ? 'Envelope' : refusal}` };
  return { description, content: { 'application/json': { schema } } };
}
