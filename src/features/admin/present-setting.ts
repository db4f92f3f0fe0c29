import { settings, type SettingName, type SettingValues } from '../../platform/config/settings.ts';

const redacted = '[redacted]';

/** Every setting with its value, as an admin may see it. */
export function presentSettings(values: SettingValues): readonly Record<string, unknown>[] {
  return (Object.keys(settings) as SettingName[]).map((name) => {
    const { description, defaultText, sensitive } = settings[name];
    const value = shown(values[name], sensitive);
    return { name, value, default: defaultText ?? null, sensitive, description };
  });
}

/** Not a word of a secret, nor of a password that somebody wrote into a URL. */
function shown(value: unknown, sensitive: boolean): unknown {
  if (value === undefined) return null;
  if (sensitive) return redacted;
  if (typeof value !== 'string' || !/^[a-z][a-z\d+.-]*:\/\/[^/?#]*@/i.test(value)) return value;
  return value.replace(/\/\/[^/?#]*@/, `//${redacted}@`);
}
