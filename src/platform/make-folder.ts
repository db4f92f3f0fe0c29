import { existsSync, mkdirSync, statSync } from 'node:fs';
import { dirname } from 'node:path';

/**
 * Makes a folder and those above it that are missing. Node's own way (`recursive`) tries for ever where there is no making a folder
 * in one that exists, as in /proc.
 * @throws what the system says when it cannot be made.
 */
export function makeFolder(path: string): void {
  try {
    mkdirSync(path);
  } catch (error) {
    if (statSync(path, { throwIfNoEntry: false })?.isDirectory() === true) return;
    const above = dirname(path);
    if (existsSync(above)) throw error;
    makeFolder(above);
    mkdirSync(path);
  }
}
