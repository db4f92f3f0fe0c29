import { readFile } from 'node:fs/promises';

const shownLines = 12;

/** The last lines of a log file, for an error message; a note when it cannot be read. */
export async function tailOf(path: string): Promise<string> {
  try {
    return (await readFile(path, 'utf8')).trimEnd().split('\n').slice(-shownLines).join('\n');
  } catch {
    return '(no log)';
  }
}
