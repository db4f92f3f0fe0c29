import { statSync } from 'node:fs';
import { resolve } from 'node:path';
import type { Config } from '../src/platform/config/load-config.ts';
import { projectRoot } from './project-root.ts';
import { StartError } from './start-error.ts';

/**
 * The folder of CoinGecko exports to replay.
 * @throws {StartError} when there is no such folder.
 */
export function replayFolderOf({ REPLAY_DIR }: Pick<Config, 'REPLAY_DIR'>): string {
  if (REPLAY_DIR === undefined) throw new StartError('REPLAY_DIR is required when PROVIDER is replay');
  const folder = resolve(projectRoot, REPLAY_DIR);
  if (statSync(folder, { throwIfNoEntry: false })?.isDirectory() !== true)
    throw new StartError(
      `REPLAY_DIR must be a folder of CoinGecko CSV exports: there is no folder ${folder}`,
    );
  return folder;
}
