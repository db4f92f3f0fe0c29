import type { AppDeps } from '../../app-deps.ts';
import { presentAuditEvent } from '../accounts/present-audit-event.ts';
import { answer } from '../../platform/http/envelope.ts';
import { pageOf } from '../../platform/http/paging.ts';
import { presentSettings } from './present-setting.ts';
import { route, type Route } from '../../platform/http/route.ts';
import { auditQuery } from '../accounts/user-schemas.ts';

type AdminDeps = Pick<AppDeps, 'audit' | 'config'>;

const tag = 'Administration';
const forbidden = 'For admins only';

/** What admins look at: the audit log and the settings. */
export function adminRoutes({ audit, config }: AdminDeps): Route[] {
  const events = route({
    method: 'GET',
    path: '/api/v1/admin/audit',
    access: 'admin',
    scope: 'admin',
    tag,
    summary: 'Security events, the newest first',
    query: auditQuery,
    answers: { 200: 'A page of events', 403: forbidden, 503: 'The database is away; see Retry-After' },
    handler: async (ctx, { query: { page, limit, type, user } }) => {
      const offset = (page - 1) * limit;
      const { events: found, total } = await audit.list({ type, userId: user, offset, limit });
      answer(ctx, {
        message: 'Audit log',
        data: pageOf(found.map(presentAuditEvent), { total, page, limit }),
      });
    },
  });

  const settings = route({
    method: 'GET',
    path: '/api/v1/admin/config',
    access: 'admin',
    scope: 'admin',
    tag,
    summary: 'The settings of the process that answers; secrets are not shown',
    answers: { 200: 'Every setting, in the order of .env.example', 403: forbidden },
    handler: (ctx) => answer(ctx, { message: 'Settings', data: presentSettings(config) }),
  });

  return [events, settings];
}
