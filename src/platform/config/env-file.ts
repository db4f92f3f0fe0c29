import { existsSync } from 'node:fs';
import { loadEnvFile } from 'node:process';

/**
 * Takes settings from a `.env` file in the working directory; variables that are set already win. Tests say what they need
 * themselves, so with `APP_ENV=test` the file is left alone.
 */
export function loadEnvironmentFile(): void {
  if (process.env['APP_ENV'] !== 'test' && existsSync('.env')) loadEnvFile('.env');
}
