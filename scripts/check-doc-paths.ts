/**
 * `npm run docs:links`, after remark has checked the links of Markdown: paths between code and documents, which no link checker
 * sees. A path of a document in a source, such as in a comment, must exist; so must a path of a source that a document quotes.
 */
import { existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { join, relative, resolve, sep } from 'node:path';

const root = resolve(import.meta.dirname, '..');
const skipped = new Set([
  'node_modules',
  'dist',
  'coverage',
  '.git',
  '.cache',
  '.pricepool',
  'package-lock.json',
]);
const textual = /(?:\.(?:ts|js|cjs|json|md|ya?ml|sql|sh)|\.example|\/run|\/pre-commit|\/commit-msg)$/;
/** In a source: a document. Not the `/docs` of the API. */
const documentPath = /(?<![\w/.])docs\/[\w/-]+(?:\.\w+)?/g;
/** Quoted in a document: a file or folder of the checkout, without a placeholder. */
const quotedPath = /`((?:src|workers|jobs|db|client|embedded|bench|scripts|test|docs)\/[\w./-]+)`/g;

async function filesBelow(folder: string): Promise<string[]> {
  const found: string[] = [];
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (skipped.has(entry.name)) continue;
    if (entry.isDirectory()) found.push(...(await filesBelow(path)));
    else if (entry.isFile() && textual.test(path)) found.push(path);
  }
  return found;
}

interface NamedPath {
  /** File and line that name it. */
  readonly place: string;
  readonly path: string;
}

function pathsIn(name: string, text: string): NamedPath[] {
  const pattern = name.endsWith('.md') ? quotedPath : documentPath;
  return text.split('\n').flatMap((line, index) =>
    [...line.matchAll(pattern)].map((match) => ({
      place: `${name}:${index + 1}`,
      path: match[1] ?? match[0],
    })),
  );
}

const named: NamedPath[] = [];
for (const file of await filesBelow(root)) {
  const name = relative(root, file).split(sep).join('/');
  if (!name.startsWith('test/fixtures/')) named.push(...pathsIn(name, await readFile(file, 'utf8')));
}
const missing = named.filter(({ path }) => !existsSync(join(root, path)));
for (const { place, path } of missing) process.stderr.write(`${place}: ${path} does not exist\n`);
process.stdout.write(
  `${named.length} paths: ${missing.length === 0 ? 'all exist' : `${missing.length} do not exist`}\n`,
);
process.exitCode = missing.length === 0 ? 0 : 1;
