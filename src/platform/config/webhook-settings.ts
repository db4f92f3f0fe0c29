import { addresses, duration, oneOf, text } from './setting.ts';

/** Settings of webhooks. */
export const webhookSettings = {
  WEBHOOK_SECRET: text({
    sensitive: true,
    description:
      'Secret that the signing secrets of all users are computed from, at least 32 characters. Absent: JWT_SECRET, whose change then changes them too.',
  }),
  WEBHOOK_HTTP: oneOf(['on', 'off'], {
    description:
      'Whether webhooks may go to http:// too, and not to https:// alone. Absent: off in production, on elsewhere.',
  }),
  WEBHOOK_ALLOWED_NETWORKS: addresses({
    default: '',
    description:
      'Networks that webhooks may be sent to though they are not public, such as 192.168.0.0/16 for receivers at home.',
  }),
  WEBHOOK_RETENTION: duration({
    default: '30d',
    description: 'How long webhooks that were delivered or given up can be looked at.',
  }),
} as const;
