/** Alerts in memory: the real desk over stand-in tables. */
import { v7 as uuidv7 } from 'uuid';
import type { AlertQueries } from '../../../src/features/alerts/queries/alerts.ts';
import { createAlertOperations, type AlertOperations } from '../../../src/features/alerts/alert-service.ts';
import type { Alert, AlertFiring } from '../../../src/features/alerts/alert.ts';
import { NotFoundError } from '../../../src/domain/errors.ts';
import { silentLogger } from '../../../src/platform/observability/logger.ts';
import { fakeTargets } from './fake-webhooks.ts';

/** The only portfolio of the owner that alerts can watch; its base currency is the euro. */
export const watchedPortfolioId = '01934c2a-0000-7000-8000-0000000000f1';

/** A coin that is listed without a price. */
export const unpricedCoin = 'quiet-coin';

export interface FakeAlerts {
  readonly operations: AlertOperations;
  readonly rows: Map<string, Alert>;
  readonly firings: AlertFiring[];
  /** Alerts whose change was announced. */
  readonly reported: string[];
  /** What pages of alerts and of firings were asked for. */
  readonly pages: object[];
}

/** A desk without alerts; `coins` are all that the price source knows. With `queries` it stands over a table instead. */
export function fakeAlerts(
  coins: readonly string[] = ['bitcoin', 'ethereum'],
  queries?: AlertQueries,
): FakeAlerts {
  const rows = new Map<string, Alert>();
  const firings: AlertFiring[] = [];
  const reported: string[] = [];
  const pages: object[] = [];
  const operations = createAlertOperations({
    alerts: queries ?? queriesOver(rows, pages),
    firings: {
      page: ({ userId, alertId, offset, limit }) => {
        pages.push({ userId, alertId, offset, limit });
        const found = firings.filter((each) => each.userId === userId && alertId !== 'none');
        return Promise.resolve({ firings: found.slice(offset, offset + limit), total: found.length });
      },
    },
    channel: { changed: (ids) => Promise.resolve(void reported.push(...ids)) },
    baseCurrencyOf: (id) =>
      id === watchedPortfolioId
        ? Promise.resolve('eur')
        : Promise.reject(new NotFoundError('Portfolio not found', 'portfolio_not_found')),
    isAsset: (id) => coins.includes(id),
    isUnpriced: (id) => Promise.resolve(id === unpricedCoin),
    checkUrl: (url, field) => fakeTargets.checked(url, field),
    log: silentLogger(),
  });
  return { operations, rows, firings, reported, pages };
}

function queriesOver(rows: Map<string, Alert>, pages: object[]): AlertQueries {
  const owned = (id: string, userId: string): Alert | undefined => {
    const row = rows.get(id);
    return row?.userId === userId ? row : undefined;
  };
  const none = {
    lastValue: null,
    observedAt: null,
    firedAt: null,
    firedCount: 0,
    notEvaluated: null,
    version: 1,
  };
  return {
    insert(alert) {
      const now = new Date();
      const made = { ...alert, ...none, id: uuidv7(), createdAt: now, updatedAt: now };
      rows.set(made.id, made);
      return Promise.resolve(made);
    },
    find: (id, userId) => Promise.resolve(owned(id, userId)),
    page(filter) {
      pages.push(filter);
      const { userId, kind, offset, limit } = filter;
      const found = [...rows.values()]
        .filter((row) => row.userId === userId && (kind === undefined || row.kind === kind))
        .reverse();
      return Promise.resolve({ alerts: found.slice(offset, offset + limit), total: found.length });
    },
    change({ id, userId, version }, change) {
      const row = owned(id, userId);
      if (row?.version !== version) return Promise.resolve(undefined);
      const changed = { ...row, ...change, version: version + 1 };
      rows.set(id, changed);
      return Promise.resolve(changed);
    },
    remove({ id, userId, version }) {
      const isThere = owned(id, userId)?.version === version;
      return Promise.resolve(isThere && rows.delete(id));
    },
  };
}
