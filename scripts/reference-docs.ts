/** Writes the generated tables of docs/reference, and `.env.example`. A test says when that has to be done. */
import { readFile, writeFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { format, resolveConfig } from 'prettier';
import { envExample, metricsTable, settingsTable, withTable } from './reference-text.ts';

const root = resolve(import.meta.dirname, '..');

async function writeTable(name: string, table: string): Promise<void> {
  const page = resolve(root, name);
  const options = { ...(await resolveConfig(page)), filepath: page };
  await writeFile(page, await format(withTable(await readFile(page, 'utf8'), table), options));
}

await writeTable('docs/reference/configuration.md', settingsTable());
await writeTable('docs/reference/metrics.md', await metricsTable());
await writeFile(resolve(root, '.env.example'), envExample());
process.stdout.write('docs/reference and .env.example are up to date\n');
