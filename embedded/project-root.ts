import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** Folder of package.json, whether this runs from the sources or from `dist/`. */
export const projectRoot = findRoot(import.meta.dirname);

function findRoot(folder: string): string {
  if (existsSync(join(folder, 'package.json'))) return folder;
  const parent = dirname(folder);
  if (parent === folder) throw new Error('package.json was not found above the embedded folder');
  return findRoot(parent);
}
