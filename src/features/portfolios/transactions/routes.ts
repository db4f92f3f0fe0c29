import type { PortfolioService } from '../portfolio-service.ts';
import type { ApiContext } from '../../../platform/http/context.ts';
import { answer } from '../../../platform/http/envelope.ts';
import {
  expectedVersion,
  ifNoneMatchHeader,
  ifMatchResponses,
  ifMatchHeader,
  matchesTag,
  versionTagOf,
} from '../../../platform/http/if-match.ts';
import { pageOf } from '../../../platform/http/paging.ts';
import { route, type Route } from '../../../platform/http/route.ts';
import { actorOf } from '../../accounts/actor.ts';
import { contentOf, type StoredTransaction } from '../ledger/recorded-transaction.ts';
import type { TransactionChange } from '../queries/transaction-changes.ts';
import { portfolioUrl, pagingQuery, portfolioIdOf, portfolioPath, paging } from '../schemas.ts';
import { transactionTypes } from '../../../domain/bookkeeping.ts';
import { z } from 'zod';
import { canonicalQuantity, holdsItsDigits } from '../../../domain/quantity.ts';
import { NotFoundError } from '../../../domain/errors.ts';
import type { WrittenTransaction } from './transaction-drafts.ts';
import { boundedArray } from '../../../platform/http/fields.ts';
import { assetIdField, type AssetIdReader } from '../../assets/schemas.ts';

/** Most transactions of one request. */
const maxTransactionsPerRequest = 1_000;

const digitsRule = 'has more digits than a JSON number can hold; send it as a string';

const decimalRule = 'must be a decimal, such as "0.125"';
const describedDecimal = {
  description:
    'Decimal, best as a string: at most 20 digits before and 18 after the point; a JSON number holds only 15 digits',
  examples: ['0.125'],
};

const decimal = z
  .union([z.string(), z.number()], { error: decimalRule })
  .transform(toText)
  .meta(describedDecimal);

const decimalOrNone = z
  .union([z.string(), z.number(), z.null()], { error: decimalRule })
  .transform((given, ctx) => (given === null ? null : toText(given, ctx)))
  .optional()
  .meta(describedDecimal);

/** What it may be is for the books to say. */
const assetText = (assets: AssetIdReader) =>
  z
    .string()
    .overwrite(assets.idOf)
    .max(128, 'has too many characters')
    .meta({ description: 'Asset id, such as bitcoin', examples: ['bitcoin'] });

const leg = (assets: AssetIdReader) =>
  z.strictObject({ asset: assetText(assets), quantity: decimal }).nullish();

const fee = (assets: AssetIdReader) =>
  z
    .strictObject({ asset: assetText(assets).nullish(), quantity: decimalOrNone, value: decimalOrNone })
    .nullish()
    .meta({
      description:
        'A fee paid in an asset has asset, quantity and value (absent: the market value); a fee paid in cash has only value. ' +
        'value is in the base currency',
    });

const transactionType = z.enum(transactionTypes, `must be one of ${transactionTypes.join(', ')}`);

const content = (assets: AssetIdReader) => ({
  type: transactionType,
  executed_at: z
    .string()
    .max(64, 'has too many characters')
    .meta({
      description: 'Date and time with an offset (or Z); not in the future, not before 2009-01-03',
      examples: ['2024-01-31T09:30:00+01:00'],
    }),
  received: leg(assets).meta({ description: 'What you received: asset and quantity' }),
  sent: leg(assets).meta({ description: 'What you sent: asset and quantity' }),
  given: leg(assets).meta({ description: 'The former name of sent', deprecated: true }),
  value: decimalOrNone.meta({
    description:
      'In the base currency, without the fee. Of a buy or sell: the cash paid or received (required). Of any other: the market value at that time; absent: looked up',
  }),
  fee: fee(assets),
  note: z
    .string()
    .trim()
    .max(500, 'must have at most 500 characters')
    .regex(/^[^\p{Cc}\p{Cf}\p{Cs}]*$/u, 'must not contain control characters')
    .nullish()
    .meta({ description: 'A note to yourself' }),
  sequence: z
    .int('must be a whole number')
    .min(0, 'must be at least 0')
    .max(2_147_483_647, 'must be at most 2147483647')
    .optional()
    .meta({
      description: 'Order among transactions of the same time and type: the lower number comes first',
    }),
});

/** Body of `PUT …/transactions/:tid`: the complete new transaction. */
const transactionBody = (assets: AssetIdReader) => z.strictObject(content(assets));

/** Body of `POST …/transactions`. */
const newTransactionBody = (assets: AssetIdReader) =>
  z.strictObject({
    id: z.uuid('is not a UUID').toLowerCase().optional().meta({
      description:
        'An id of your choice (UUID), which makes it safe to send the request again; absent: the server makes one',
    }),
    ...content(assets),
  });

/** Body of `POST …/transactions/bulk`. */
const transactionsBody = (assets: AssetIdReader) =>
  z.strictObject({
    transactions: boundedArray(newTransactionBody(assets), maxTransactionsPerRequest).superRefine(
      (all, ctx) => {
        const firstAt = new Map<string, number>();
        for (const [index, { id }] of all.entries()) {
          const first = id === undefined ? undefined : firstAt.get(id);
          if (first !== undefined)
            ctx.addIssue({
              code: 'custom',
              path: [index, 'id'],
              message: `repeats that of element ${first}`,
            });
          else if (id !== undefined) firstAt.set(id, index);
        }
      },
    ),
  });

const moment = z.iso
  .datetime({ offset: true, error: 'must be a date and time with an offset, such as 2024-01-31T09:30:00Z' })
  .transform((text) => Date.parse(text));

/** Query of `GET …/transactions`. */
const transactionsQuery = (assets: AssetIdReader) =>
  z.strictObject({
    ...paging,
    asset: assetIdField(assets)
      .optional()
      .meta({ description: 'Only transactions in which this asset was received, sent or paid as a fee' }),
    type: transactionType.optional().meta({ description: 'Only transactions of this type' }),
    from: moment
      .optional()
      .meta({ description: 'Only transactions at this time or later (ISO 8601 with an offset)' }),
    to: moment
      .optional()
      .meta({ description: 'Only transactions at this time or earlier (ISO 8601 with an offset)' }),
    import_id: z
      .uuid('is not the id of an import')
      .toLowerCase()
      .optional()
      .meta({ description: 'Only transactions of this import' }),
  });

/** Path of a transaction. */
const transactionPath = portfolioPath.extend({
  tid: z.string().meta({ description: 'Id of the transaction (UUID)' }),
});

const uuid = z.uuid();

/**
 * The id of the transaction in a path.
 * @throws {NotFoundError} it is not a UUID, so there is no such transaction.
 */
function transactionIdOf({ tid }: z.output<typeof transactionPath>): string {
  if (!uuid.safeParse(tid).success) throw new NotFoundError('Transaction not found', 'transaction_not_found');
  return tid.toLowerCase();
}

/** The books decide whether the number is allowed. */
function toText(given: string | number, ctx: z.RefinementCtx): string {
  if (holdsItsDigits(given)) return canonicalQuantity(given) ?? String(given).trim();
  ctx.addIssue({ code: 'custom', message: digitsRule });
  return '';
}

/** Converts the body of a client to the types of the service. */
function writtenOf({
  executed_at: executedAt,
  given,
  ...rest
}: z.output<ReturnType<typeof newTransactionBody>>): WrittenTransaction & {
  readonly id?: string | undefined;
} {
  return { ...rest, sent: rest.sent ?? given, executedAt };
}

type TransactionDeps = Pick<PortfolioService, 'transactions'> & { readonly assets: AssetIdReader };

const tag = 'Transactions';
const ofPortfolio = '/api/v1/portfolios/:id';
const path = `${ofPortfolio}/transactions`;
const missing = 'Portfolio or transaction not found';
const unavailable = 'Database unavailable; see Retry-After';
const conflicts =
  'The id belongs to a transaction with other content, or the portfolio has reached the limit of transactions';
const again =
  'If you choose the id, you can send the request again after a lost response: a transaction that already exists with the same content counts as created.';

/** Transactions of a portfolio: create, list, read, replace and delete; and their audit trail. */
export function transactionRoutes(deps: TransactionDeps): Route[] {
  return [
    createMany(deps),
    create(deps),
    list(deps),
    read(deps),
    replace(deps),
    remove(deps),
    changesOfPortfolio(deps),
    changesOfTransaction(deps),
  ];
}

function create({ assets, transactions }: TransactionDeps): Route {
  return route({
    method: 'POST',
    path,
    access: 'user',
    scope: 'portfolio:write',
    tag,
    summary: 'Create a transaction',
    description: again,
    params: portfolioPath,
    body: newTransactionBody(assets),
    responses: {
      200: 'The transaction already exists with the same content',
      201: 'The transaction; Location has its URL',
      404: missing,
      409: conflicts,
      503: unavailable,
    },
    handler: async (ctx, { params, viewer, body }) => {
      const portfolioId = portfolioIdOf(params);
      const request = { portfolioId, viewer, by: actorOf(ctx, viewer) };
      const made = await transactions.create(request, [writtenOf(body)], false);
      const [transaction] = made.transactions;
      if (transaction === undefined) throw new Error('a transaction was made and is not there');
      ctx.set('Location', `${portfolioUrl(portfolioId)}/transactions/${transaction.id}`);
      const status = made.created === 0 ? 200 : 201;
      respondTransaction(ctx, transaction, { status, message: 'Transaction created' });
    },
  });
}

function createMany({ assets, transactions }: TransactionDeps): Route {
  return route({
    method: 'POST',
    path: `${path}/bulk`,
    access: 'user',
    scope: 'portfolio:write',
    tag,
    summary: 'Create many transactions, all or none',
    description: `At most ${maxTransactionsPerRequest}. ${again}`,
    params: portfolioPath,
    body: transactionsBody(assets),
    responses: {
      200: 'All transactions already exist with the same content',
      201: 'The transactions, in the order given, and how many of them are new',
      404: missing,
      409: conflicts,
      503: unavailable,
    },
    handler: async (ctx, { params, viewer, body }) => {
      const request = { portfolioId: portfolioIdOf(params), viewer, by: actorOf(ctx, viewer) };
      const made = await transactions.create(request, body.transactions.map(writtenOf), true);
      answer(ctx, {
        status: made.created === 0 ? 200 : 201,
        message: 'Transactions created',
        data: { transactions: made.transactions.map(presentTransaction), created: made.created },
      });
    },
  });
}

function list({ assets, transactions }: TransactionDeps): Route {
  return route({
    method: 'GET',
    path,
    access: 'user',
    scope: 'portfolio:read',
    tag,
    summary: 'List the transactions of a portfolio, latest first',
    params: portfolioPath,
    query: transactionsQuery(assets),
    responses: { 200: 'A page of transactions', 404: missing, 503: unavailable },
    handler: async (ctx, { params, viewer, query: { page, limit, import_id: importId, ...rest } }) => {
      const portfolioId = portfolioIdOf(params);
      const requested = { portfolioId, viewer, page, limit, filter: { ...rest, importId } };
      const { transactions: found, total } = await transactions.page(requested);
      const data = pageOf(found.map(presentTransaction), { total, page, limit });
      answer(ctx, { message: 'Transactions', data });
    },
  });
}

function read({ transactions }: TransactionDeps): Route {
  return route({
    method: 'GET',
    path: `${path}/:tid`,
    access: 'user',
    scope: 'portfolio:read',
    tag,
    summary: 'Get a transaction',
    params: transactionPath,
    headers: ifNoneMatchHeader,
    responses: {
      200: 'The transaction',
      304: 'Not modified since the ETag in If-None-Match',
      404: missing,
      503: unavailable,
    },
    handler: async (ctx, { params, viewer }) => {
      const portfolioId = portfolioIdOf(params);
      const transaction = await transactions.get({ portfolioId, viewer, id: transactionIdOf(params) });
      respondTransaction(ctx, transaction, { message: 'Transaction' });
    },
  });
}

function replace({ assets, transactions }: TransactionDeps): Route {
  return route({
    method: 'PUT',
    path: `${path}/:tid`,
    access: 'user',
    scope: 'portfolio:write',
    tag,
    summary: 'Replace a transaction',
    description: 'The body is the complete new transaction; the old one stays in the audit trail.',
    params: transactionPath,
    body: transactionBody(assets),
    headers: ifMatchHeader,
    responses: { 200: 'The updated transaction', 404: missing, ...ifMatchResponses, 503: unavailable },
    handler: async (ctx, { params, viewer, body }) => {
      const target = targetOf(ctx, { params, viewer });
      const transaction = await transactions.replace(target, writtenOf(body));
      respondTransaction(ctx, transaction, { message: 'Transaction replaced' });
    },
  });
}

function remove({ transactions }: TransactionDeps): Route {
  return route({
    method: 'DELETE',
    path: `${path}/:tid`,
    access: 'user',
    scope: 'portfolio:write',
    tag,
    summary: 'Delete a transaction',
    description: 'Refused (422) while a later transaction needs what this one received.',
    params: transactionPath,
    headers: ifMatchHeader,
    responses: { 200: 'Deleted', 404: missing, ...ifMatchResponses, 503: unavailable },
    handler: async (ctx, { params, viewer }) => {
      const target = targetOf(ctx, { params, viewer });
      await transactions.remove(target);
      answer(ctx, { message: 'Transaction deleted', data: { id: target.id } });
    },
  });
}

function targetOf(
  ctx: ApiContext,
  {
    params,
    viewer,
  }: {
    readonly params: { readonly id: string; readonly tid: string };
    readonly viewer: Parameters<typeof actorOf>[1] & object;
  },
) {
  return {
    portfolioId: portfolioIdOf(params),
    id: transactionIdOf(params),
    viewer,
    by: actorOf(ctx, viewer),
    expected: expectedVersion(ctx),
  };
}

function respondTransaction(
  ctx: ApiContext,
  transaction: StoredTransaction,
  { status = 200, message }: { readonly status?: number; readonly message: string },
): void {
  const tagOf = versionTagOf(transaction);
  ctx.set('ETag', tagOf);
  ctx.set('Cache-Control', 'private, no-cache');
  const isRead = ctx.method === 'GET' || ctx.method === 'HEAD';
  if (isRead && matchesTag(ctx.req.headers['if-none-match'], tagOf)) ctx.status = 304;
  else answer(ctx, { status, message, data: presentTransaction(transaction) });
}

/** Audit trails: changes of transactions, by whom, and the content before and after. */
function changesOfPortfolio({ transactions }: TransactionDeps): Route {
  return route({
    method: 'GET',
    path: `${ofPortfolio}/changes`,
    access: 'user',
    scope: 'portfolio:read',
    tag,
    summary: 'List the changes to the transactions of a portfolio, latest first',
    description: 'An import is one row, however many transactions it created.',
    params: portfolioPath,
    query: pagingQuery,
    responses: { 200: 'A page of changes', 404: missing, 503: unavailable },
    handler: async (ctx, { params, viewer, query }) => {
      const found = await transactions.changes({ portfolioId: portfolioIdOf(params), viewer, ...query });
      const data = pageOf(found.changes.map(presentChange), { total: found.total, ...query });
      answer(ctx, { message: 'Changes', data });
    },
  });
}

function changesOfTransaction({ transactions }: TransactionDeps): Route {
  return route({
    method: 'GET',
    path: `${path}/:tid/changes`,
    access: 'user',
    scope: 'portfolio:read',
    tag,
    summary: 'List the changes to a transaction, even after it was deleted, latest first',
    params: transactionPath,
    query: pagingQuery,
    responses: { 200: 'A page of changes', 404: missing, 503: unavailable },
    handler: async (ctx, { params, viewer, query }) => {
      const portfolioId = portfolioIdOf(params);
      const transactionId = transactionIdOf(params);
      const found = await transactions.changes({ portfolioId, transactionId, viewer, ...query });
      const data = pageOf(found.changes.map(presentChange), { total: found.total, ...query });
      answer(ctx, { message: 'Changes', data });
    },
  });
}

/** A transaction as the owner of its portfolio sees it. */
function presentTransaction(transaction: StoredTransaction): Record<string, unknown> {
  return {
    id: transaction.id,
    ...contentOf(transaction),
    version: transaction.version,
    created_at: transaction.createdAt,
    updated_at: transaction.updatedAt,
  };
}

/** A row of an audit trail. */
function presentChange(change: TransactionChange): Record<string, unknown> {
  return {
    id: change.id,
    at: change.at,
    action: change.action,
    transaction_id: change.transactionId,
    actor_id: change.actorId,
    key_id: change.keyId,
    before: change.before && withSent(change.before),
    after: change.after && withSent(change.after),
  };
}

/** Changes of earlier versions have `given` where it is `sent` now. */
function withSent(content: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const { given, ...rest } = content;
  return given === undefined ? rest : { ...rest, sent: given };
}
