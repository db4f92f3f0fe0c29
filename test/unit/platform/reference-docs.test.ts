import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseEnv } from 'node:util';
import { expect } from 'chai';
import { projectRoot } from '../../../embedded/project-root.ts';
import {
  envExample,
  metricsTable,
  settingsTable,
  tableMarkers,
  withTable,
} from '../../../scripts/reference-text.ts';
import { exampleSecret, loadConfig } from '../../../src/platform/config/load-config.ts';
import { settings } from '../../../src/platform/config/settings.ts';

const how = 'run: npm run docs:reference';
const read = (name: string): Promise<string> => readFile(join(projectRoot, name), 'utf8');
const names = Object.keys(settings);

describe('.env.example', () => {
  let text: string;
  before(async () => {
    text = await read('.env.example');
  });

  it('is what the settings table says', () => {
    expect(text, how).to.equal(envExample());
  });

  it('names every setting once, in order, with what it is, its default and whether it is secret', () => {
    const blocks = text.trim().split('\n\n').slice(1);
    expect(blocks.map((block) => /^#([A-Z\d_]+)=/m.exec(block)?.[1])).to.deep.equal(names);
    for (const [index, { description, defaultText, sensitive }] of Object.values(settings).entries()) {
      const block = blocks[index] ?? '';
      expect(block).to.include(description);
      expect(/; secret$/m.test(block), names[index]).to.equal(sensitive);
      if (defaultText !== undefined && defaultText !== '')
        expect(block).to.match(new RegExp(`=${defaultText}$`));
    }
  });

  it('changes nothing when it is copied as it is', () => {
    expect(parseEnv(text)).to.deep.equal({});
  });

  it('is legal when everything with a value is switched on, but not for production', () => {
    const all = parseEnv(text.replaceAll(/^#([A-Z\d_]+=)/gm, '$1'));
    expect(all.JWT_SECRET).to.equal(exampleSecret);
    expect(Object.keys(all)).to.have.members(names);
    const defaults = { ...loadConfig({}), database: undefined };
    // Parts of the database have defaults, but without a host there is none.
    expect({ ...loadConfig({ ...all, JWT_SECRET: '' }), database: undefined }).to.deep.equal(defaults);
    expect(() => loadConfig({ ...all, APP_ENV: 'production' })).to.throw(
      'JWT_SECRET still has the value of .env.example',
    );
  });
});

describe('the generated tables of docs/reference', () => {
  /** First cells of the table of a page, without their quotes. */
  const namesIn = (page: string): (string | undefined)[] => {
    const { begin, end } = tableMarkers;
    const table = page.slice(page.indexOf(begin), page.indexOf(end));
    return [...table.matchAll(/^\| `(\w+)`/gm)].map((match) => match[1]);
  };

  it('settings are those of the code', async () => {
    const page = await read('docs/reference/configuration.md');
    expect(cellsOf(page), how).to.deep.equal(cellsOf(withTable(page, settingsTable())));
    expect(namesIn(page)).to.deep.equal(names);
    expect(settingsTable()).to.include('`DATABASE_URL`').and.include('**Secret.**');
  });

  it('metrics are those that the API serves', async () => {
    const page = await read('docs/reference/metrics.md');
    expect(cellsOf(page), how).to.deep.equal(cellsOf(withTable(page, await metricsTable())));
    const served = Object.keys(JSON.parse(await read('test/fixtures/contract/metrics.json')) as object);
    const own = served.filter((name) => !/^(nodejs|process)_/.test(name));
    expect(namesIn(page)).to.include.members(own);
  });

  it('cannot be written into a text without the markers', () => {
    expect(() => withTable('# Settings', '| a |')).to.throw('lacks the lines');
  });
});

describe('docs/reference/errors.md', () => {
  it('names every code that the code gives to an error', async () => {
    const known = new Set(
      [...(await read('docs/reference/errors.md')).matchAll(/`(\w+)`/g)].map(([, code]) => code),
    );
    const unknown: string[] = [];
    for (const folder of ['src', 'workers', 'db']) {
      const files = (await readdir(join(projectRoot, folder), { recursive: true })).filter((name) =>
        name.endsWith('.ts'),
      );
      for (const name of files) {
        const codes = codesIn(await read(join(folder, name)));
        unknown.push(...codes.filter((code) => !known.has(code)).map((code) => `${folder}/${name}: ${code}`));
      }
    }
    expect(unknown).to.deep.equal([]);
  });
});

/** Codes of errors in a source: `code: '…'`, and the last text that an error of the tree is made with. */
function codesIn(source: string): string[] {
  const named = [...source.matchAll(/\bcode: '(\w+)'/g)].map(([, code = '']) => code);
  const made = [...source.matchAll(/Error\(\s*(?:'[^']*'|`[^`]*`|\w+),\s*'([a-z]+(?:_[a-z]+)+)'/g)];
  return [...named, ...made.map(([, code = '']) => code)].filter((code) => code !== 'custom');
}

/** The formatter pads the columns of tables: that is no difference. */
function cellsOf(markdown: string): string[] {
  return markdown.split('\n').map((line) => line.replaceAll(/ +/g, ' ').replaceAll(/-+/g, '-').trim());
}
