import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { makeFolder } from '../../../src/platform/make-folder.ts';

describe('making a folder', () => {
  let place: string;
  beforeEach(() => (place = mkdtempSync(join(tmpdir(), 'pricepool-folder-'))));
  afterEach(() => rmSync(place, { recursive: true }));

  it('makes those above it, and leaves one that is there as it is', () => {
    const folder = join(place, 'a/b/c');
    makeFolder(folder);
    writeFileSync(join(folder, 'file'), 'kept');
    makeFolder(folder);
    expect(statSync(join(folder, 'file')).size).to.equal(4);
  });

  it('says what the system says where there is a file, or none can be made', () => {
    writeFileSync(join(place, 'file'), '');
    expect(() => makeFolder(join(place, 'file'))).to.throw('EEXIST');
    expect(() => makeFolder(join(place, 'file/below'))).to.throw('ENOTDIR');
  });
});
