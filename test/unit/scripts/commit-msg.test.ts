import { spawnSync } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { projectRoot } from '../../../embedded/project-root.ts';

describe('the hook for commit messages', () => {
  let folder: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'commit-msg-'));
  });
  after(async () => {
    await rm(folder, { recursive: true });
  });

  /** Exit code of the hook, and what it complains about. */
  async function judge(message: string): Promise<{ code: number | null; complaint: string }> {
    const file = join(folder, 'message');
    await writeFile(file, message);
    const { status, stderr } = spawnSync(join(projectRoot, '.githooks/commit-msg'), [file], {
      encoding: 'utf8',
    });
    return { code: status, complaint: stderr };
  }

  it('takes conventional subjects of up to 72 characters, and messages that Git writes', async () => {
    const subjects = ['fix(portfolios): validate IANA zones', 'feat!: new scopes', `docs: ${'é'.repeat(66)}`];
    for (const subject of [...subjects, "Merge branch 'x'", 'Revert "fix: y"', 'fixup! fix: y'])
      expect(await judge(`# a comment\n\n${subject}\n\nbody: ${'b'.repeat(100)}\n`), subject).to.deep.equal({
        code: 0,
        complaint: '',
      });
  });

  it('refuses other subjects, and says what is wrong', async () => {
    for (const subject of ['validate IANA zones', 'fix:validate', 'fix: ', 'Fix: zones', 'fixes: zones'])
      expect(await judge(`${subject}\n`), subject).to.deep.include({ code: 1 });
    const { code, complaint } = await judge(`docs: ${'x'.repeat(67)}\n`);
    expect(code).to.equal(1);
    expect(complaint).to.include('73 characters; 72 at most');
  });
});
