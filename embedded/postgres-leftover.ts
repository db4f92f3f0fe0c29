import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { StopPlan } from './child.ts';
import { endLeftover } from './leftover.ts';

/** Fast shutdown (sessions are cut off, data is flushed), then immediate shutdown. */
export const postgresStopPlan: StopPlan = [
  ['SIGINT', 8_000],
  ['SIGQUIT', 2_000],
];

/**
 * Ends a Postgres of a killed run that still holds `cluster`, and removes a pid file that names somebody else's process:
 * Postgres itself would refuse to start because of it.
 * @returns true when a server was ended.
 */
export async function endPostgresLeftover(cluster: string): Promise<boolean> {
  const pidFile = join(cluster, 'postmaster.pid');
  const text = await readFile(pidFile, 'utf8').catch(() => undefined);
  if (text === undefined) return false;
  const pid = Number.parseInt(text, 10);
  if (!Number.isInteger(pid) || pid <= 1) return false;
  const ended = await endLeftover({ pid, mark: cluster, plan: postgresStopPlan });
  await rm(pidFile, { force: true });
  return ended;
}
