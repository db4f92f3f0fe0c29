import { duration } from './setting.ts';

/** Settings of price history; part of the table in settings.ts. */
export const historySettings = {
  HISTORY_KEEP_5M: duration({
    default: '7d',
    description: 'How long price history is kept in steps of five minutes.',
  }),
  HISTORY_KEEP_1H: duration({
    default: '100d',
    description: 'How long price history is kept in hours. Days are kept for ever.',
  }),
} as const;
