/** The operations with which handlers find, create and change alerts. */
import { createFiringQueries, type FiringQueries } from './queries/alert-firings.ts';
import { createAlertQueries, type AlertUpdate, type AlertQueries, type NewAlert } from './queries/alerts.ts';
import { firingsKeptSeconds, type Alert, type AlertRule, type AlertSubject } from './alert.ts';
import type { Viewer } from '../../domain/job.ts';
import { createAlertChannel, type AlertChannel } from './alert-channel.ts';
import { createAlertStreams } from './alert-streams.ts';
import type { AssetDirectory } from '../assets/asset-directory.ts';
import { parseAmount } from '../portfolios/ledger/amount.ts';
import type { PortfolioService } from '../portfolios/portfolio-service.ts';
import type { QuoteService } from '../quotes/quote-service.ts';
import type { WebhookService } from '../webhooks/webhook-service.ts';
import {
  ConflictError,
  messageOf,
  NotFoundError,
  PreconditionFailedError,
  throwBugs,
  ValidationError,
  type FieldProblem,
} from '../../domain/errors.ts';
import type { Logger } from '../../platform/observability/logger.ts';
import type { Platform } from '../../platform/platform.ts';
import type { Realtime } from '../../platform/realtime/realtime.ts';

/** A request for a new alert. The currency of a portfolio's value is that of the portfolio. */
export interface AlertRequest extends Omit<NewAlert, 'currency' | 'userId' | 'state'> {
  readonly currency: string | null;
  readonly isEnabled: boolean;
}

/** A change of an alert. Absent fields keep their value. */
export interface AlertUpdateRequest {
  readonly id: string;
  readonly viewer: Viewer;
  /** The versions that the client expects; `any` for no expectation. */
  readonly expected: 'any' | readonly number[];
  readonly changes: Omit<AlertUpdate, 'state'> & { readonly isEnabled?: boolean | undefined };
}

/** Bounds of a change in per cent, in units of 10^-18 (`Amount`): nothing falls by more than 100 %. */
const minPercentChange = -100n * 10n ** 18n;
const maxPercentChange = 1_000_000n * 10n ** 18n;
const hundred = 100n * 10n ** 18n;

/** Longest wait (ms) for what the price source says of a coin that nobody has asked for yet. */
const quoteWaitMs = 2_000;
/** Alerts that one user may have. */
const alertLimit = 500;
/** Attempts at a change when an evaluator changes the alert at the same time. */
const maxAttempts = 5;

/**
 * Builds the service of an API process; alerts are evaluated by workers.
 * @param services.realtime opens the streams of this process.
 */
export function createAlertService(
  { clock, keys, knex, log, redis, shutdown, subscriber }: Platform,
  {
    webhooks,
    assets,
    quotes,
    portfolios,
    realtime,
  }: {
    readonly webhooks: Pick<WebhookService, 'targets'>;
    readonly assets: Pick<AssetDirectory, 'isKnown' | 'byId'>;
    readonly quotes: Pick<QuoteService, 'get'>;
    readonly portfolios: Pick<PortfolioService, 'portfolios'>;
    readonly realtime: Pick<Realtime, 'open'>;
  },
) {
  const channel = createAlertChannel({ redis, subscriber, channel: keys.alerts });
  const firings = createFiringQueries(knex);
  const streams = createAlertStreams({
    realtime,
    firings,
    channel,
    log,
    clock,
    keptSeconds: firingsKeptSeconds,
  });
  shutdown.add('queues', 'streams of alerts', () => streams.close());
  const operations = createAlertOperations({
    alerts: createAlertQueries(knex),
    firings,
    channel,
    log,
    baseCurrencyOf: async (id, viewer) => (await portfolios.portfolios.get(id, viewer)).baseCurrency,
    isAsset: (id) => !assets.isKnown() || assets.byId(id) !== undefined,
    async isUnpriced(assetId, currency, requester) {
      const requested = { assetId, currency, waitMs: quoteWaitMs, requester };
      // While the cache is away nobody knows; an alert can be made all the same.
      const reading = await quotes.get(requested).catch((error: unknown) => {
        throwBugs(error);
        return undefined;
      });
      return reading?.state === 'unpriced';
    },
    checkUrl: (url, field) => webhooks.targets.checked(url, field),
  });
  return { ...operations, /** Streams of firings. */ streams };
}

export type AlertOperations = ReturnType<typeof createAlertOperations>;

/**
 * The operations with which handlers find, create and change alerts. All methods throw {@link UnavailableError} when Postgres
 * does not answer.
 */
export function createAlertOperations(deps: {
  readonly alerts: AlertQueries;
  readonly firings: Pick<FiringQueries, 'page'>;
  readonly channel: Pick<AlertChannel, 'changed'>;
  /** The base currency of a portfolio of the viewer. @throws {NotFoundError} there is none. */
  readonly baseCurrencyOf: (portfolioId: string, viewer: Viewer) => Promise<string>;
  /** False only when the asset is known not to exist. */
  readonly isAsset: (id: string) => boolean;
  /** Whether the price source lists the asset and has no price for it. Never rejects. */
  readonly isUnpriced: (assetId: string, currency: string, viewer: Viewer) => Promise<boolean>;
  /** The URL as it is stored. @throws {ValidationError} it must not receive webhooks. */
  readonly checkUrl: (url: string, field: string) => string;
  readonly log: Logger;
}) {
  const { alerts, firings } = deps;

  /** @throws {NotFoundError} (`alert_not_found`) it does not exist or is not the viewer's. */
  async function get(id: string, viewer: Viewer): Promise<Alert> {
    const found = await alerts.find(id, viewer.userId);
    if (found !== undefined) return found;
    throw new NotFoundError('Alert not found', 'alert_not_found');
  }

  function announce(id: string): void {
    // Evaluators also poll every few seconds.
    deps.channel.changed([id]).catch((error: unknown) => {
      deps.log.debug({ alert: id, reason: messageOf(error) }, 'a change of an alert could not be published');
    });
  }

  /** Retries while others, evaluators among them, change the alert. */
  async function retryOnConflict<T>(
    { id, viewer, expected }: Omit<AlertUpdateRequest, 'changes'>,
    act: (alert: Alert) => Promise<T | undefined>,
  ): Promise<T> {
    for (let attempt = 0; attempt < maxAttempts; attempt++) {
      const alert = await get(id, viewer);
      if (expected !== 'any' && !expected.includes(alert.version)) throw new PreconditionFailedError();
      const done = await act(alert);
      if (done === undefined) continue;
      announce(id);
      return done;
    }
    throw new ConflictError('Alert modified concurrently; retry', 'alert_changing');
  }

  return {
    get,
    /** A page of the viewer's alerts, the newest first. */
    page: (filter: Parameters<AlertQueries['page']>[0]) => alerts.page(filter),
    /** A page of firings, the newest first. */
    firings: (filter: Parameters<FiringQueries['page']>[0]) => firings.page(filter),

    /**
     * @throws {ValidationError} the fields do not go together, the asset is not known or has no price, or the URL must not
     * receive webhooks.
     * @throws {NotFoundError} (`portfolio_not_found`) the portfolio is not the viewer's.
     * @throws {ConflictError} (`alert_limit`) the viewer has reached the limit of alerts.
     */
    async make(viewer: Viewer, { isEnabled, ...requested }: AlertRequest): Promise<Alert> {
      confirmRule(requested);
      const { portfolioId, assetId } = requested;
      if (portfolioId === null && (assetId === null || !deps.isAsset(assetId))) {
        const message = 'is not known to the price source';
        throw new ValidationError('The request is not valid', [{ field: 'coin', message }]);
      }
      const currency =
        portfolioId === null ? (requested.currency ?? 'usd') : await deps.baseCurrencyOf(portfolioId, viewer);
      const url = requested.url === null ? null : deps.checkUrl(requested.url, 'url');
      if (assetId !== null && (await deps.isUnpriced(assetId, currency, viewer))) {
        const message = `has no price in ${currency} at the price source, so that no alert could fire`;
        throw new ValidationError('The request is not valid', [{ field: 'coin', message }]);
      }
      const state = isEnabled ? 'pending' : 'disabled';
      const made = await alerts.insert(
        { ...requested, currency, url, state, userId: viewer.userId },
        alertLimit,
      );
      announce(made.id);
      return made;
    },

    /**
     * Another threshold, direction or window resets the alert.
     * @throws {PreconditionFailedError} it has another version; what `make` and `get` throw.
     * @throws {ConflictError} (`alert_changing`) the alert was modified concurrently, several times in a row.
     */
    async change({ changes: { isEnabled, ...changes }, ...which }: AlertUpdateRequest): Promise<Alert> {
      const { url } = changes;
      const checked = typeof url === 'string' ? { ...changes, url: deps.checkUrl(url, 'url') } : changes;
      return await retryOnConflict(which, async (alert) => {
        confirmRule({ ...alert, ...checked });
        const state = stateAfter(alert, checked, isEnabled);
        return await alerts.change(alert, { ...checked, ...(state === undefined ? {} : { state }) });
      });
    },

    /** Resets an alert to `pending`, also one that is disabled. @throws what `get` throws; `alert_changing` as `change` does. */
    rearm: (id: string, viewer: Viewer): Promise<Alert> =>
      retryOnConflict({ id, viewer, expected: 'any' }, (alert) => alerts.change(alert, { state: 'pending' })),

    /** @throws what `change` throws. Firings stay on record. */
    async remove(removal: Omit<AlertUpdateRequest, 'changes'>): Promise<void> {
      await retryOnConflict(removal, async (alert) => ((await alerts.remove(alert)) ? true : undefined));
    },
  };
}

/** The state after a change; undefined when it stays the same. */
function stateAfter(
  alert: Alert,
  changes: AlertUpdate,
  isEnabled: boolean | undefined,
): Alert['state'] | undefined {
  if (isEnabled === false) return 'disabled';
  const isDisabled = alert.state === 'disabled';
  if (isEnabled === true && isDisabled) return 'pending';
  const fields = ['threshold', 'direction', 'windowSeconds'] as const;
  const isOther = fields.some((field) => changes[field] !== undefined && changes[field] !== alert[field]);
  return isOther && !isDisabled ? 'pending' : undefined;
}

/**
 * Checks that the fields of an alert fit together.
 * @throws {ValidationError} with the names of the fields that clients use.
 */
function confirmRule(alert: AlertRule & Pick<AlertSubject, 'kind' | 'windowSeconds'>): void {
  const { kind, windowSeconds } = alert;
  const isChange = kind === 'change';
  const problems: FieldProblem[] = [];
  if (isChange && windowSeconds === null)
    problems.push({ field: 'window', message: 'is required for a change' });
  if (!isChange && windowSeconds !== null)
    problems.push({ field: 'window', message: 'is only for alerts of kind change' });

  const threshold = amountOfText(alert.threshold);
  if (!isChange && threshold <= 0n) problems.push({ field: 'threshold', message: 'must be more than 0' });
  if (isChange && (threshold === 0n || threshold <= minPercentChange || threshold > maxPercentChange)) {
    const message = 'must be more than -100, at most 1000000, and not 0 per cent';
    problems.push({ field: 'threshold', message });
  }

  const problem = hysteresisProblem(alert, threshold);
  if (problem !== undefined) problems.push({ field: `hysteresis.${alert.hysteresisUnit}`, message: problem });
  if (problems.length > 0) throw new ValidationError('The request is not valid', problems);
}

/** Refuses a hysteresis with which the alert could never be armed again. */
function hysteresisProblem(
  { kind, hysteresis, hysteresisUnit }: AlertRule & Pick<AlertSubject, 'kind'>,
  threshold: bigint,
): string | undefined {
  const size = amountOfText(hysteresis);
  if (size < 0n) return 'must not be less than 0';
  if (hysteresisUnit === 'percent') return size < hundred ? undefined : 'must be less than 100';
  if (kind !== 'change') return size < threshold ? undefined : 'must be less than the threshold';
  return size <= maxPercentChange ? undefined : 'must be at most 1000000';
}

function amountOfText(text: string): bigint {
  const amount = parseAmount(text);
  if (amount === undefined) throw new RangeError('not a decimal amount');
  return amount;
}
