/**
 * Finds words of this project's own making in names: identifiers, names of files, settings, metrics, fields of the log, events
 * and queues. Where the field has a word, that one is used (docs: glossary); prose is for readers to judge.
 *
 * `tsx scripts/check-words.ts` looks at every TypeScript file that git knows, and ends with 1 when it finds one.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import ts from 'typescript';

/** The words, in all their forms, and what is used instead. Several parts mean a sequence: `quickReads`, `quick-reads`. */
const words: ReadonlyMap<string, string> = new Map(
  Object.entries({
    desk: 'service',
    desks: 'services',
    kick: 'enqueue',
    kicks: 'enqueue',
    kicked: 'enqueued',
    upkeep: 'maintenance',
    keeping: 'retention',
    news: 'channel, update',
    bell: 'wake signal',
    tally: 'counter, totals',
    tallies: 'counters',
    outlet: 'transport',
    comeback: 'reconnect delay',
    spoil: 'inject a fault',
    oddity: 'warning',
    oddities: 'warnings',
    leftover: 'stale process',
    leftovers: 'stale processes',
    vault: 'unallocated pool',
    purses: 'buckets by priority',
    pile: 'lot pool',
    piles: 'lot pools',
    aside: 'non-batch slot',
    'until joined': 'wait for the batch',
    abandonments: 'cancellations',
    rederive: 'project, rebuild',
    asked: 'requested, request, options',
    wish: 'options, wanted',
    wishes: 'options, wanted',
    told: 'reported',
    face: 'api',
    'quick reads': 'fast path',
    shortcut: 'fast path',
    'take over': 'hijack',
    takeover: 'hijack',
    histories: 'series, or the name of the module',
    mirroring: 'local cache',
  }),
);

/** Names that keep such a word for now, by what they match, and why. One that no name needs any more is a mistake too. */
const allowed: readonly { readonly name: RegExp; readonly in: RegExp; readonly why: string }[] = [
  {
    name: /^upkeep$/,
    in: /^(jobs|src\/platform\/config|workers|test|bench|embedded)\//,
    why: 'the name of a queue in Redis, and a value of WORKER_QUEUES: renamed with its migration',
  },
  {
    name: /^tally$/,
    in: /portfolios|positions|exports|made-up-books|^bench\/|^test\/support\/ledger/,
    why: 'a field of the checkpoints that are stored as text: renamed with the version of their format',
  },
  {
    name: /^history_asked_for$/,
    in: /./,
    why: 'a field of the API: renamed with its migration',
  },
  {
    name: /^asked$/,
    in: /(valuation\/routes|http\/valuation\.test)\.ts$/,
    why: 'a field of the API, in the gaps of a history: renamed with its migration',
  },
  {
    name: /^told_at$/,
    in: /./,
    why: 'a column: renamed with its migration',
  },
];

/** A name with one of the words in it. */
export interface OddName {
  /** Counts from 1; 0 for the name of the file itself. */
  readonly line: number;
  readonly name: string;
  readonly word: string;
}

/** Texts that are names: of events, queues, metrics and the like. */
const nameLike = /^[a-zA-Z][\w.:-]*$/;

/** The parts of a name in lower case: `toldAgoMs`, `told_ago_ms` and `told-ago.ms` have the same. */
export function partsOf(name: string): readonly string[] {
  return name
    .replaceAll(/([a-z0-9])([A-Z])/g, '$1 $2')
    .replaceAll(/([A-Z]+)([A-Z][a-z])/g, '$1 $2')
    .split(/[^A-Za-z0-9]+/)
    .map((part) => part.toLowerCase())
    .filter((part) => part !== '');
}

function wordIn(name: string): string | undefined {
  const text = ` ${partsOf(name).join(' ')} `;
  return [...words.keys()].find((word) => text.includes(` ${word} `));
}

/** The names in a file, its own among them, that have one of the words. Texts of tests and benches are not names of the product. */
export function oddNames(file: string, text: string): readonly OddName[] {
  const source = ts.createSourceFile(file, text, ts.ScriptTarget.ES2023);
  const found: OddName[] = [];
  const hasNames = !/^(test|bench|scripts)\//.test(file);
  const note = (name: string, line: number): void => {
    const word = wordIn(name);
    if (word !== undefined) found.push({ line, name, word });
  };
  const visit = (node: ts.Node): void => {
    if (ts.isIdentifier(node) || ts.isPrivateIdentifier(node)) {
      note(node.text.replace('#', ''), lineOf(source, node));
    } else if (hasNames && ts.isStringLiteralLike(node) && nameLike.test(node.text)) {
      note(node.text, lineOf(source, node));
    }
    ts.forEachChild(node, visit);
  };
  note(file, 0);
  visit(source);
  return found;
}

function lineOf(source: ts.SourceFile, node: ts.Node): number {
  return source.getLineAndCharacterOfPosition(node.getStart(source)).line + 1;
}

function check(root: string): boolean {
  const known = execFileSync('git', ['-C', root, 'ls-files', '-co', '--exclude-standard', '*.ts'], {
    maxBuffer: 1 << 26,
  });
  const files = known
    .toString()
    .split('\n')
    .filter((file) => file !== '' && file !== 'scripts/check-words.ts' && existsSync(join(root, file)));
  const used = new Set<(typeof allowed)[number]>();
  let problems = 0;
  for (const file of files) {
    for (const { line, name, word } of oddNames(file, readFileSync(join(root, file), 'utf8'))) {
      const reason = allowed.find((each) => each.name.test(name) && each.in.test(file));
      if (reason !== undefined) {
        used.add(reason);
        continue;
      }
      problems += 1;
      process.stderr.write(`${file}:${line} "${name}" has "${word}": say ${words.get(word) ?? ''}\n`);
    }
  }
  for (const each of allowed.filter((one) => !used.has(one))) {
    problems += 1;
    process.stderr.write(`${String(each.name)} is allowed (${each.why}), and no name needs it\n`);
  }
  process.stdout.write(
    `${files.length} files: ${problems === 0 ? 'plain words' : `${problems} problem(s)`}\n`,
  );
  return problems === 0;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  process.exitCode = check(resolve(import.meta.dirname, '..')) ? 0 : 1;
}
