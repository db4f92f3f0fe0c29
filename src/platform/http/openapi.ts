/** Builds the OpenAPI 3.1 document from the route table and its schemas. */
import { z } from 'zod';
import { scopesOf } from './access-rule.ts';
import type { Route, RouteHeader } from './route.ts';

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
  properties: {
    success: { const: true },
    message: { type: 'string', description: 'For people; programs read data' },
    data: {
      description: 'A list is an object with its rows in data, and total, page, limit and total_pages',
    },
  },
};

const problem: Json = {
  type: 'object',
  required: ['success', 'message', 'error', 'request_id'],
  properties: {
    success: { const: false },
    message: { type: 'string', description: 'What went wrong, for people' },
    error: {
      type: 'object',
      required: ['code', 'detail'],
      properties: {
        code: { type: 'string', description: 'What went wrong, for programs; it does not change' },
        detail: { type: 'string', description: 'The message, or the problem of every field' },
        fields: {
          type: 'array',
          description: 'Only for fields that are not valid: each with its problem',
          items: { type: 'object', properties: { field: { type: 'string' }, message: { type: 'string' } } },
        },
      },
    },
    request_id: { type: 'string', description: 'Names this request in the log of the server' },
  },
};

const coinGeckoKey = 'An API key of this server, sent the way clients of CoinGecko send theirs';

/** Where clients of CoinGecko put their key; here it is one of ours. */
const coinGeckoKeys = {
  demoKey: {
    type: 'apiKey',
    in: 'header',
    name: 'x-cg-demo-api-key',
    description: coinGeckoKey,
  },
  proKey: {
    type: 'apiKey',
    in: 'header',
    name: 'x-cg-pro-api-key',
    description: coinGeckoKey,
  },
  demoKeyInQuery: {
    type: 'apiKey',
    in: 'query',
    name: 'x_cg_demo_api_key',
    description: coinGeckoKey,
  },
  proKeyInQuery: {
    type: 'apiKey',
    in: 'query',
    name: 'x_cg_pro_api_key',
    description: coinGeckoKey,
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
      description:
        'Crypto prices and portfolios for many clients, within the call limit of one price source. ' +
        'Send an access token (from POST /api/v1/auth/login) or an API key as Authorization: Bearer. ' +
        'Under /api/v1, a success is { success, message, data } and an error { success, message, error, request_id } ' +
        'with a stable error.code. Under /api/v3, requests and responses are those of the CoinGecko API.',
    },
    paths,
    components: {
      securitySchemes: {
        bearer: { type: 'http', scheme: 'bearer', description: 'An access token or an API key' },
        apiKey: { type: 'apiKey', in: 'header', name: 'X-Api-Key', description: 'An API key' },
        ticket: {
          type: 'apiKey',
          in: 'query',
          name: 'ticket',
          description: 'A stream ticket, from POST /api/v1/auth/stream-ticket',
        },
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
  const described: Json = {
    ...z.toJSONSchema(schema, {
      io: 'input',
      unrepresentable: 'any',
      // Zod omits the default of a field that it converts, though a client may rely on it.
      override: ({ zodSchema, jsonSchema }) => {
        const { def } = zodSchema._zod;
        if (def.type !== 'default' || !isPlain(def.defaultValue)) return;
        jsonSchema.default = jsonSchema.type === 'string' ? String(def.defaultValue) : def.defaultValue;
      },
    }),
  };
  delete described['$schema'];
  return described;
}

function isPlain(value: unknown): value is string | number | boolean {
  return ['string', 'number', 'boolean'].includes(typeof value);
}

function parametersOf(schema: z.ZodType | undefined, place: 'path' | 'query'): OpenApiParameter[] {
  if (schema === undefined) return [];
  const { properties = {}, required = [] } = schemaOf(schema) as {
    readonly properties?: Readonly<Record<string, Json>>;
    readonly required?: readonly string[];
  };
  return Object.entries(properties).map(([name, { description, ...described }]) => ({
    name,
    in: place,
    required: place === 'path' || required.includes(name),
    ...(typeof description === 'string' ? { description } : {}),
    schema: described,
  }));
}

function headerParameter([name, header]: [string, string | RouteHeader]): OpenApiParameter {
  const { description, required = false } = typeof header === 'string' ? { description: header } : header;
  return { name, in: 'header', required, description, schema: { type: 'string' } };
}

function responsesOf(each: Route): Record<string, { description: string }> {
  const implied: Record<number, string> = {
    ...(each.access === 'open'
      ? {}
      : {
          401: 'The access token or API key is missing, not valid, expired or revoked',
          503: 'Credentials cannot be checked at the moment; retry after Retry-After seconds',
        }),
    ...(each.unlimited === true
      ? {}
      : {
          429: 'Too many requests; retry after Retry-After seconds (the RateLimit headers show the limits)',
        }),
    ...(each.body === undefined
      ? {}
      : {
          400: 'The body is not valid JSON',
          413: 'The body is larger than 1 MB',
          415: 'The Content-Type of the body is not application/json',
        }),
    ...((each.body ?? each.query ?? each.params)
      ? {
          422:
            each.api === 'v3'
              ? 'A parameter is missing or not valid'
              : 'A field is missing or not valid; error.fields names each with its problem',
        }
      : {}),
  };
  const refusals = [each.responses[403], refusalOf(each)].filter((why) => why !== undefined);
  const refused = refusals.length === 0 ? {} : { 403: refusals.join('. Or: ') };
  const described = Object.entries({ ...implied, ...each.responses, ...refused });
  return Object.fromEntries(
    described.map(([status, description]) => [status, responseOf(each, status, description)]),
  );
}

/** Who may not call a route; undefined when everybody may who has a valid credential, or none is needed. */
function refusalOf({ access, scope }: Route): string | undefined {
  if (access === 'admin') return 'Only admins may do this; an API key also needs the scope admin';
  if (access === 'open' || scope === 'any') return undefined;
  if (scope === 'session')
    return 'API keys may not do this: send an access token from POST /api/v1/auth/login';
  return `The API key lacks the scope ${scopesOf(scope).join(' or ')}`;
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
