import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { projectRoot } from '../../embedded/project-root.ts';

const buildTimeoutMs = 180_000;

/**
 * Makes sure that dist/ is a build of the sources as they are.
 * @throws {Error} with the compiler's words when it does not build.
 */
export async function ensureBuild(): Promise<void> {
  const options = { cwd: projectRoot, timeout: buildTimeoutMs };
  await promisify(execFile)('npm', ['run', 'build', '--', '--if-changed'], options).catch(
    (error: unknown) => {
      const { stdout, stderr } = error as { stdout: string; stderr: string };
      throw new Error(`npm run build failed: ${stdout}${stderr}`);
    },
  );
}
