/**
 * `npm run deps`: the import rules of .dependency-cruiser.cjs over every TypeScript file. A cruise that sees no modules
 * finds no violations either (that happened, with a compiler that the cruiser did not know), so this also fails when a file
 * on disk was not cruised, or when hardly any imports were found.
 */
import { readdir } from 'node:fs/promises';
import { join, resolve, sep } from 'node:path';
import { cruise, type ICruiseResult, type IViolation } from 'dependency-cruiser';
import extractDepcruiseOptions from 'dependency-cruiser/config-utl/extract-depcruise-options';
import extractTsConfig from 'dependency-cruiser/config-utl/extract-ts-config';

const folders = ['src', 'workers', 'jobs', 'db', 'embedded', 'client', 'bench', 'test', 'scripts'];
const root = resolve(import.meta.dirname, '..');

process.chdir(root);
const files = (await Promise.all(folders.map(typeScriptFilesOf))).flat();
const result = await cruiseAll();
const problems = [...result.summary.violations.map(describe), ...problemsOfCoverage(result, files)];
for (const problem of problems) process.stderr.write(`${problem}\n`);
const { totalDependenciesCruised } = result.summary;
process.stdout.write(
  `${files.length} files, ${totalDependenciesCruised ?? 0} imports: ${problems.length === 0 ? 'every rule holds' : `${problems.length} problem(s)`}\n`,
);
process.exitCode = problems.length === 0 ? 0 : 1;

async function typeScriptFilesOf(folder: string): Promise<string[]> {
  const names = await readdir(folder, { recursive: true });
  return names.filter((name) => name.endsWith('.ts')).map((name) => join(folder, name).split(sep).join('/'));
}

async function cruiseAll(): Promise<ICruiseResult> {
  const options = await extractDepcruiseOptions(join(root, '.dependency-cruiser.cjs'));
  const tsConfig = extractTsConfig(join(root, 'tsconfig.json'));
  const { output } = await cruise(folders, { ...options, validate: true }, undefined, { tsConfig });
  if (typeof output === 'string') throw new TypeError('the cruise gave a report instead of a result');
  return output;
}

function describe({ rule, from, to, cycle }: IViolation): string {
  const path = cycle === undefined ? to : cycle.map(({ name }) => name).join(' -> ');
  return `${rule.name}: ${from} -> ${path}`;
}

function problemsOfCoverage({ modules }: ICruiseResult, onDisk: readonly string[]): string[] {
  const cruised = new Map(modules.map(({ source, dependencies }) => [source, dependencies.length]));
  const problems = onDisk.filter((file) => !cruised.has(file)).map((file) => `not-cruised: ${file}`);
  const withImports = onDisk.filter((file) => (cruised.get(file) ?? 0) > 0).length;
  // Most files import something: far fewer means that imports were not understood.
  if (withImports < onDisk.length / 2) {
    problems.push(`no-imports-seen: only ${withImports} of ${onDisk.length} files have imports`);
  }
  return problems;
}
