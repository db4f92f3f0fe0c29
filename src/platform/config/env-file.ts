import { existsSync } from 'node:fs';
import { loadEnvFile } from 'node:process';

/**
 * Reads settings from a `.env` file in the working directory; variables that are already set take precedence. Tests set what
 * they need themselves, so with `APP_ENV=test` the file is not read.
 */
export function loadEnvironmentFile(): void {
  if (process.env['APP_ENV'] !== 'test' && existsSync('.env')) loadEnvFile('.env');
}
