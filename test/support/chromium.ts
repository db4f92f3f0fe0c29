/** A real browser without a window, where there is one. */
import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { waitFor } from './wait-for.ts';

/** Where Debian puts it, unless CHROMIUM_PATH says otherwise; undefined when it is not there. */
export function chromiumPath(): string | undefined {
  const path = process.env['CHROMIUM_PATH'] ?? '/usr/bin/chromium';
  return existsSync(path) ? path : undefined;
}

export interface Browser {
  /** What it has complained of. */
  complaints(): string;
  close(): Promise<void>;
}

/** Opens a page. Returns at once: the page itself must tell that it runs. */
export async function openPage(path: string, url: string): Promise<Browser> {
  const profile = await mkdtemp(join(tmpdir(), 'pricepool-page-'));
  const child = spawn(path, [...switches(profile), url], {
    // The debugging pipe keeps it running, and ends it with us.
    stdio: ['ignore', 'ignore', 'pipe', 'pipe', 'pipe'],
    detached: true,
  });
  let complaints = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => (complaints += text));
  // Pipes break when the browser ends.
  for (const pipe of child.stdio.slice(3)) pipe?.on('error', () => undefined);
  return {
    complaints: () => complaints,
    async close() {
      await endGroup(child);
      await rm(profile, { recursive: true, force: true, maxRetries: 10 });
    },
  };
}

function switches(profile: string): string[] {
  const isRoot = process.getuid?.() === 0;
  return [
    '--headless=new',
    '--remote-debugging-pipe',
    '--disable-gpu',
    '--disable-dev-shm-usage',
    '--disable-background-networking',
    '--no-first-run',
    '--no-proxy-server',
    `--user-data-dir=${profile}`,
    ...(isRoot ? ['--no-sandbox'] : []),
  ];
}

/** A browser is many processes. */
async function endGroup(child: ChildProcess): Promise<void> {
  const { pid } = child;
  if (pid === undefined) return;
  const signal = (name: NodeJS.Signals | 0): boolean => {
    try {
      return process.kill(-pid, name);
    } catch {
      return false;
    }
  };
  signal('SIGKILL');
  await waitFor(() => !signal(0), { what: 'the end of the browser' });
}
