import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseEnv } from 'node:util';
import { expect } from 'chai';
import { projectRoot } from '../../../embedded/project-root.ts';
import {
  envExample,
  settingsTable,
  tableMarkers,
  withSettingsTable,
} from '../../../scripts/settings-text.ts';
import { exampleSecret, loadConfig } from '../../../src/platform/config/load-config.ts';
import { settings } from '../../../src/platform/config/settings.ts';

const how = 'run: npx tsx scripts/settings-docs.ts';
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

describe('the settings table of the README', () => {
  it('is what the settings table says', async () => {
    const readme = await read('README.md');
    expect(cellsOf(readme), how).to.deep.equal(cellsOf(withSettingsTable(readme)));
    const { begin, end } = tableMarkers;
    const table = readme.slice(readme.indexOf(begin), readme.indexOf(end));
    expect([...table.matchAll(/^\| `([A-Z\d_]+)`/gm)].map((match) => match[1])).to.deep.equal(names);
    expect(settingsTable()).to.include('`DATABASE_URL`').and.include('**Secret.**');
  });

  it('cannot be written into a text without the markers', () => {
    expect(() => withSettingsTable('# Readme')).to.throw('lacks the lines');
  });
});

/** The formatter pads the columns of tables: that is no difference. */
function cellsOf(markdown: string): string[] {
  return markdown.split('\n').map((line) => line.replaceAll(/ +/g, ' ').replaceAll(/-+/g, '-').trim());
}
