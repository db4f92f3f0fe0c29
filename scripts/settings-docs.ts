/** Writes the settings table into README.md, and `.env.example`. A test says when that has to be done. */
import { readFile, writeFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { format, resolveConfig } from 'prettier';
import { envExample, withSettingsTable } from './settings-text.ts';

const root = resolve(import.meta.dirname, '..');
const readme = resolve(root, 'README.md');

const options = { ...(await resolveConfig(readme)), filepath: readme };
await writeFile(readme, await format(withSettingsTable(await readFile(readme, 'utf8')), options));
await writeFile(resolve(root, '.env.example'), envExample());
process.stdout.write('README.md and .env.example are up to date\n');
