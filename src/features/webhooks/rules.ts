import type { Config } from '../../platform/config/load-config.ts';
import { createAddressGuard, type AddressGuard } from './address-guard.ts';
import { serverSecretsOf } from './server-secrets.ts';
import { createSigner, type WebhookSigner } from './signature.ts';
import { createTargets, type WebhookTargets } from './target.ts';

/** What this deployment says of webhooks: the same in the processes that take URLs and in those that send to them. */
export interface WebhookRules {
  readonly guard: AddressGuard;
  readonly targets: WebhookTargets;
  readonly signer: WebhookSigner;
}

/** Reads {@link WebhookRules} from the configuration. */
export function webhookRulesOf(config: Config): WebhookRules {
  const guard = createAddressGuard(config.WEBHOOK_ALLOWED_NETWORKS);
  const isHttpAllowed = (config.WEBHOOK_HTTP ?? (config.APP_ENV === 'production' ? 'off' : 'on')) === 'on';
  return {
    guard,
    targets: createTargets({ isHttpAllowed, guard }),
    signer: createSigner(serverSecretsOf(config)),
  };
}
