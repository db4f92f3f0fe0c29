/** The settings table in the two forms that operators read: a table for the README, and `.env.example`. */
import { exampleSecret } from '../src/platform/config/load-config.ts';
import { settings } from '../src/platform/config/settings.ts';
import type { Setting } from '../src/platform/config/setting.ts';

/** Lines between which the README's table stands. */
export const tableMarkers = {
  begin: '<!-- settings: made by scripts/settings-docs.ts -->',
  end: '<!-- /settings -->',
} as const;

const rows: readonly (readonly [name: string, setting: Setting<unknown>])[] = Object.entries(settings);

/** The table of all settings in Markdown. */
export function settingsTable(): string {
  const lines = rows.map(([name, { defaultText, description, expects, sensitive }]) => {
    const shown = defaultText === undefined || defaultText === '' ? '' : `\`${defaultText}\``;
    const words = `${description}${sensitive ? ' **Secret.**' : ''} (${expects})`;
    return `| \`${name}\` | ${shown} | ${words.replaceAll('|', '\\|')} |`;
  });
  return ['| setting | default | description |', '| --- | --- | --- |', ...lines].join('\n');
}

/** Text of `.env.example`: every setting in its order, commented out, so that a copy of the file changes nothing. */
export function envExample(): string {
  const intro = `# Settings of Pricepool. Copy this file to .env and remove the "#" of what you want to change.
# Environment variables override .env. For a first try nothing needs to be set: npm start.
# Made by scripts/settings-docs.ts from src/platform/config/settings.ts.`;
  const blocks = rows.map(([name, { defaultText, description, expects, sensitive }]) => {
    const preset = defaultText === undefined || defaultText === '' ? 'no default' : `default ${defaultText}`;
    const value = name === 'JWT_SECRET' ? exampleSecret : (defaultText ?? '');
    return `# ${description}\n# ${expects}; ${preset}${sensitive ? '; secret' : ''}\n#${name}=${value}`;
  });
  return `${[intro, ...blocks].join('\n\n')}\n`;
}

/**
 * `text` with what stands between the markers replaced.
 * @throws {Error} when it does not have both of them, in order.
 */
export function withSettingsTable(text: string): string {
  const { begin, end } = tableMarkers;
  const from = text.indexOf(begin);
  const to = text.indexOf(end);
  if (from === -1 || to < from) throw new Error(`the text lacks the lines ${begin} and ${end}`);
  return `${text.slice(0, from + begin.length)}\n\n${settingsTable()}\n\n${text.slice(to)}`;
}
