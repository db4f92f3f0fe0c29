import {
  maxTransactionsPerRequest,
  newTransactionBody,
  transactionBody,
  transactionIdOf,
  transactionPath,
  transactionsBody,
  transactionsQuery,
  writtenOf,
} from './schemas.ts';
import type { PortfolioService } from '../portfolio-service.ts';
import type { ApiContext } from '../../../platform/http/context.ts';
import { answer } from '../../../platform/http/envelope.ts';
import {
  expectedVersion,
  ifMatchAnswers,
  ifMatchHeader,
  versionTagOf,
} from '../../../platform/http/if-match.ts';
import { pageOf } from '../../../platform/http/paging.ts';
import { route, type Route } from '../../../platform/http/route.ts';
import { actorOf } from '../../accounts/actor.ts';
import { matchesTag } from '../../jobs/preferences.ts';
import { contentOf, type StoredTransaction } from '../ledger/recorded-transaction.ts';
import type { TransactionChange } from '../queries/transaction-changes.ts';
import { portfolioUrl } from '../schemas.ts';
import { pagingQuery, portfolioIdOf, portfolioPath } from '../schemas.ts';

type TransactionDeps = Pick<PortfolioService, 'transactions'>;

const tag = 'Transactions';
const ofPortfolio = '/api/v1/portfolios/:id';
const path = `${ofPortfolio}/transactions`;
const missing = 'There is no such portfolio or transaction, or it is somebody else’s';
const unavailable = 'The database is away; see Retry-After';
const conflicts =
  'The id is taken by a transaction that says something else, or the portfolio has as many as it may have';
const again =
  'With an id of your own the request can be sent again after a lost answer: what is there and says the same counts as made.';

/** Transactions of a portfolio: making, listing, reading, replacing and deleting them; and what was done to them. */
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

function create({ transactions }: TransactionDeps): Route {
  return route({
    method: 'POST',
    path,
    access: 'user',
    scope: 'portfolio:write',
    tag,
    summary: 'Make a transaction',
    description: again,
    params: portfolioPath,
    body: newTransactionBody,
    answers: {
      200: 'It was there already and says the same',
      201: 'The transaction; Location says where it is',
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
      answerTransaction(ctx, transaction, { status, message: 'Transaction made' });
    },
  });
}

function createMany({ transactions }: TransactionDeps): Route {
  return route({
    method: 'POST',
    path: `${path}/bulk`,
    access: 'user',
    scope: 'portfolio:write',
    tag,
    summary: 'Make many transactions, all of them or none',
    description: `${maxTransactionsPerRequest} at most. ${again}`,
    params: portfolioPath,
    body: transactionsBody,
    answers: {
      200: 'All of them were there already and say the same',
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
        message: 'Transactions made',
        data: { transactions: made.transactions.map(presentTransaction), created: made.created },
      });
    },
  });
}

function list({ transactions }: TransactionDeps): Route {
  return route({
    method: 'GET',
    path,
    access: 'user',
    scope: 'portfolio:read',
    tag,
    summary: 'The transactions of a portfolio, the latest first',
    params: portfolioPath,
    query: transactionsQuery,
    answers: { 200: 'A page of transactions', 404: missing, 503: unavailable },
    handler: async (ctx, { params, viewer, query: { page, limit, import_id: importId, ...rest } }) => {
      const portfolioId = portfolioIdOf(params);
      const asked = { portfolioId, viewer, page, limit, filter: { ...rest, importId } };
      const { transactions: found, total } = await transactions.page(asked);
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
    summary: 'One transaction',
    params: transactionPath,
    headers: { 'If-None-Match': 'The ETag of an earlier answer; 304 when nothing has changed since' },
    answers: { 200: 'The transaction', 304: 'Nothing has changed', 404: missing, 503: unavailable },
    handler: async (ctx, { params, viewer }) => {
      const portfolioId = portfolioIdOf(params);
      const transaction = await transactions.get({ portfolioId, viewer, id: transactionIdOf(params) });
      answerTransaction(ctx, transaction, { message: 'Transaction' });
    },
  });
}

function replace({ transactions }: TransactionDeps): Route {
  return route({
    method: 'PUT',
    path: `${path}/:tid`,
    access: 'user',
    scope: 'portfolio:write',
    tag,
    summary: 'Replace a transaction',
    description: 'The body is the whole transaction as it is to be; what it was stays in the audit trail.',
    params: transactionPath,
    body: transactionBody,
    headers: ifMatchHeader,
    answers: { 200: 'The transaction as it is now', 404: missing, ...ifMatchAnswers, 503: unavailable },
    handler: async (ctx, { params, viewer, body }) => {
      const target = targetOf(ctx, { params, viewer });
      const transaction = await transactions.replace(target, writtenOf(body));
      answerTransaction(ctx, transaction, { message: 'Transaction replaced' });
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
    description: 'Refused (422) while a later transaction needs what it brought in.',
    params: transactionPath,
    headers: ifMatchHeader,
    answers: { 200: 'It is gone', 404: missing, ...ifMatchAnswers, 503: unavailable },
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

function answerTransaction(
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

/** Audit trails: what was done to transactions, by whom, and what they said before and after. */
function changesOfPortfolio({ transactions }: TransactionDeps): Route {
  return route({
    method: 'GET',
    path: `${ofPortfolio}/changes`,
    access: 'user',
    scope: 'portfolio:read',
    tag,
    summary: 'What was done to the transactions of a portfolio, the latest first',
    description: 'An import is one row, whatever it brought.',
    params: portfolioPath,
    query: pagingQuery,
    answers: { 200: 'A page of changes', 404: missing, 503: unavailable },
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
    summary: 'What was done to a transaction, also after it was deleted; the latest first',
    params: transactionPath,
    query: pagingQuery,
    answers: { 200: 'A page of changes', 404: missing, 503: unavailable },
    handler: async (ctx, { params, viewer, query }) => {
      const portfolioId = portfolioIdOf(params);
      const transactionId = transactionIdOf(params);
      const found = await transactions.changes({ portfolioId, transactionId, viewer, ...query });
      const data = pageOf(found.changes.map(presentChange), { total: found.total, ...query });
      answer(ctx, { message: 'Changes', data });
    },
  });
}

/** A transaction as the owner of its portfolio gets it. */
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
    before: change.before,
    after: change.after,
  };
}
