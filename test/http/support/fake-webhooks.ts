/** Stands in for webhooks where a test is about something else: nobody has any. */
import type { WebhookService } from '../../../src/features/webhooks/webhook-service.ts';
import { createAddressGuard } from '../../../src/features/webhooks/address-guard.ts';
import { createTargets } from '../../../src/features/webhooks/target.ts';
import { NotFoundError } from '../../../src/domain/errors.ts';

const none = (): Promise<never> =>
  Promise.reject(new NotFoundError('Delivery not found', 'delivery_not_found'));
const secret = { secret: 'whsec_', generation: 0, rotatedAt: null, previousUntil: null };

/** URLs of the public internet alone are taken. */
export const fakeTargets = createTargets({ isHttpAllowed: false, guard: createAddressGuard([]) });

/** A service without deliveries. */
export const fakeWebhooks = (): Pick<
  WebhookService,
  'secret' | 'rotate' | 'list' | 'get' | 'retry' | 'test'
> => ({
  secret: () => Promise.resolve(secret),
  rotate: () => Promise.resolve(secret),
  list: () => Promise.resolve({ deliveries: [], total: 0 }),
  get: none,
  retry: none,
  test: (_userId, url) => {
    fakeTargets.checked(url, 'url');
    return none();
  },
});
