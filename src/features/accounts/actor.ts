import type { Actor } from './queries/audit.ts';
import type { Principal } from '../../domain/principal.ts';
import type { ApiContext } from '../../platform/http/context.ts';

/** Who makes this request, for the audit log and for changes that confirm it. */
export function actorOf(ctx: ApiContext, viewer?: Principal): Actor & { readonly address: string } {
  const { address, requestId } = ctx.state;
  return { actorId: viewer?.userId, keyId: viewer?.keyId, address, requestId, claim: viewer };
}
