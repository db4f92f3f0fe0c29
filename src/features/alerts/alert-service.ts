/** Where handlers find, make and change alerts. */
import type { FiringFilter, FiringQueries } from './queries/alert-firings.ts';
import type { AlertChange, AlertFields, AlertFilter, AlertQueries } from './queries/alerts.ts';
import type { Alert, AlertFiring } from './alert.ts';
import type { Viewer } from '../../domain/job.ts';
import type { AlertNews } from './alert-channel.ts';
import {
  ConflictError,
  messageOf,
  NotFoundError,
  PreconditionFailedError,
  ValidationError,
} from '../../domain/errors.ts';
import type { Logger } from '../../platform/observability/logger.ts';
import { confirmRule } from './alert-rules.ts';

/** What somebody asks to be watched. The currency of a portfolio's value is that of the portfolio. */
export interface AlertAsked extends Omit<AlertFields, 'currency'> {
  readonly currency: string | null;
  readonly isEnabled: boolean;
}

/** A change of an alert. What is absent stays. */
export interface AlertChanging {
  readonly id: string;
  readonly viewer: Viewer;
  /** Versions that the client takes it to have; `any` when it does not mind. */
  readonly expected: 'any' | readonly number[];
  readonly changes: Omit<AlertChange, 'state'> & { readonly isEnabled?: boolean | undefined };
}

/** All methods throw {@link UnavailableError} when Postgres does not answer. */
export interface AlertDesk {
  /**
   * @throws {ValidationError} the fields do not go together, the asset is not known, or the URL must not receive webhooks.
   * @throws {NotFoundError} (`portfolio_not_found`) the portfolio is not the viewer's.
   * @throws {ConflictError} (`alert_limit`) the viewer has as many as one may have.
   */
  make(viewer: Viewer, asked: AlertAsked): Promise<Alert>;
  /** @throws {NotFoundError} (`alert_not_found`) it does not exist or is not the viewer's. */
  get(id: string, viewer: Viewer): Promise<Alert>;
  /** A page of the viewer's alerts, the newest first. */
  page(filter: AlertFilter): Promise<{ readonly alerts: readonly Alert[]; readonly total: number }>;
  /**
   * Another threshold, direction or window begins the alert anew.
   * @throws {PreconditionFailedError} it has another version; what `make` and `get` throw.
   * @throws {ConflictError} (`alert_changing`) others change it all the time.
   */
  change(changing: AlertChanging): Promise<Alert>;
  /** Begins an alert anew, whatever its state. @throws what `get` throws; `alert_changing` as `change` does. */
  rearm(id: string, viewer: Viewer): Promise<Alert>;
  /** @throws what `change` throws. What has fired stays on record. */
  remove(removal: Omit<AlertChanging, 'changes'>): Promise<void>;
  /** A page of what has fired, the newest first. */
  firings(
    filter: FiringFilter,
  ): Promise<{ readonly firings: readonly AlertFiring[]; readonly total: number }>;
}

export interface AlertDeskDeps {
  readonly alerts: AlertQueries;
  readonly firings: Pick<FiringQueries, 'page'>;
  readonly news: Pick<AlertNews, 'changed'>;
  /** The base currency of a portfolio of the viewer. @throws {NotFoundError} there is none. */
  readonly baseCurrencyOf: (portfolioId: string, viewer: Viewer) => Promise<string>;
  /** False when it is known that there is no such asset. */
  readonly isAsset: (id: string) => boolean;
  /** The URL as it is stored. @throws {ValidationError} it must not receive webhooks. */
  readonly checkUrl: (url: string, field: string) => string;
  readonly log: Logger;
}

/** Alerts that one user may have. */
const alertLimit = 500;
/** An alert that fires in between is changed as it then is; so often. */
const mostAttempts = 5;

/** Builds the {@link AlertDesk}. */
export function createAlertDesk(deps: AlertDeskDeps): AlertDesk {
  const { alerts, firings } = deps;

  const get = async (id: string, viewer: Viewer): Promise<Alert> =>
    (await alerts.find(id, viewer.userId)) ?? refuseMissing();

  /** Tries again while others, evaluators among them, change the alert. */
  async function whileItChanges<T>(
    { id, viewer, expected }: Omit<AlertChanging, 'changes'>,
    act: (alert: Alert) => Promise<T | undefined>,
  ): Promise<T> {
    for (let attempt = 0; attempt < mostAttempts; attempt++) {
      const alert = await get(id, viewer);
      if (expected !== 'any' && !expected.includes(alert.version)) throw new PreconditionFailedError();
      const done = await act(alert);
      if (done === undefined) continue;
      tell(deps, id);
      return done;
    }
    throw new ConflictError('The alert is being changed by others all the time: try again', 'alert_changing');
  }

  return {
    get,
    page: (filter) => alerts.page(filter),
    firings: (filter) => firings.page(filter),

    async make(viewer, { isEnabled, ...asked }) {
      confirmRule(asked);
      const currency = await currencyOf(deps, viewer, asked);
      const url = asked.url === null ? null : deps.checkUrl(asked.url, 'url');
      const state = isEnabled ? 'pending' : 'disabled';
      const made = await alerts.insert({ ...asked, currency, url, state, userId: viewer.userId }, alertLimit);
      tell(deps, made.id);
      return made;
    },

    async change({ changes: { isEnabled, ...changes }, ...which }) {
      const { url } = changes;
      const checked = typeof url === 'string' ? { ...changes, url: deps.checkUrl(url, 'url') } : changes;
      return await whileItChanges(which, async (alert) => {
        confirmRule({ ...alert, ...checked });
        const state = stateAfter(alert, checked, isEnabled);
        return await alerts.change(alert, { ...checked, ...(state === undefined ? {} : { state }) });
      });
    },

    rearm: (id, viewer) =>
      whileItChanges({ id, viewer, expected: 'any' }, (alert) => alerts.change(alert, { state: 'pending' })),

    async remove(removal) {
      await whileItChanges(removal, async (alert) => ((await alerts.remove(alert)) ? true : undefined));
    },
  };
}

function refuseMissing(): never {
  throw new NotFoundError('There is no such alert, or it is somebody else’s', 'alert_not_found');
}

async function currencyOf(
  { baseCurrencyOf, isAsset }: AlertDeskDeps,
  viewer: Viewer,
  { portfolioId, assetId, currency }: Pick<AlertAsked, 'portfolioId' | 'assetId' | 'currency'>,
): Promise<string> {
  if (portfolioId !== null) return await baseCurrencyOf(portfolioId, viewer);
  if (assetId === null || !isAsset(assetId))
    throw new ValidationError('The request breaks a rule', [
      { field: 'coin', message: 'is not known to the price source' },
    ]);
  return currency ?? 'usd';
}

/** The state that a change brings; undefined when it stays. */
function stateAfter(
  alert: Alert,
  changes: AlertChange,
  isEnabled: boolean | undefined,
): Alert['state'] | undefined {
  if (isEnabled === false) return 'disabled';
  const isDisabled = alert.state === 'disabled';
  if (isEnabled === true && isDisabled) return 'pending';
  const fields = ['threshold', 'direction', 'windowSeconds'] as const;
  const isOther = fields.some((field) => changes[field] !== undefined && changes[field] !== alert[field]);
  return isOther && !isDisabled ? 'pending' : undefined;
}

function tell({ news, log }: AlertDeskDeps, id: string): void {
  // Evaluators look for themselves every few seconds.
  news.changed([id]).catch((error: unknown) => {
    log.debug({ alert: id, reason: messageOf(error) }, 'a change of an alert could not be announced');
  });
}
