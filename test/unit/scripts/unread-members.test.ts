/** What the check of unread members finds in a small program, and what it lets pass. */
import { expect } from 'chai';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import ts from 'typescript';
import { unreadMembers } from '../../../scripts/check-unread-members.ts';

const service = `
  export interface ShopDeps {
    readonly price: (id: string) => number;
    /** Passed on by the main, and forgotten by the shop. */
    readonly cleanUp: () => Promise<void>;
    readonly log: { warn(text: string): void };
  }
  export function createShop(deps: ShopDeps, { name, width }: { readonly name: string; readonly width: number }) {
    const { price } = deps;
    deps.log.warn(name + width);
    return { sell: (id: string) => price(id), close: () => undefined, open: () => undefined };
  }
  export interface Clock { now(): number; zone(): string }
  export function createClock(): Clock {
    return { now: () => 1, zone: () => 'UTC' };
  }
  export async function createLater({ ticks }: { readonly ticks: { now(): number } }) {
    return { at: ticks.now(), never: 1 };
  }
`;
const main = `
  import { createClock, createLater, createShop } from './service.ts';
  /** Another name for some of what a shop is. */
  interface Door { open(): void }
  function enter(door: Door): void { door.open(); }
  const shop = createShop(
    { price: () => 1, cleanUp: () => Promise.resolve(), log: { warn: () => undefined } },
    { name: 'x', width: 2 },
  );
  shop.sell('bitcoin');
  enter(shop);
  export const later = (await createLater({ ticks: createClock() })).at;
`;

describe('the check of unread members', function () {
  this.timeout(60_000);
  const folder = mkdtempSync(join(tmpdir(), 'unread-'));
  after(() => rmSync(folder, { recursive: true }));

  function found(...more: readonly string[]): readonly string[] {
    const files = { 'service.ts': service, 'main.ts': main, 'more.ts': `export {};\n${more.join('\n')}` };
    const paths = Object.entries(files).map(([name, text]) => {
      writeFileSync(join(folder, name), text);
      return join(folder, name);
    });
    const program = ts.createProgram(paths, {
      module: ts.ModuleKind.NodeNext,
      target: ts.ScriptTarget.ES2023,
      strict: true,
      noEmit: true,
      allowImportingTsExtensions: true,
      types: [],
    });
    return unreadMembers(program, ({ fileName }) => paths.includes(fileName))
      .map(({ member, factory }) => `${member} of ${factory}`)
      .toSorted();
  }

  it('finds what a factory takes or returns and nobody reads, and nothing that is read in another type', () => {
    expect(found()).to.deep.equal([
      'cleanUp of createShop',
      'close of createShop',
      'never of createLater',
      'zone of createClock',
    ]);
  });

  it('lets pass what is read anywhere: by name, taken apart, by a key, or by whoever may read all', () => {
    expect(
      found(
        "import { createClock, createLater, createShop, type ShopDeps } from './service.ts';",
        'export const ended = (deps: ShopDeps) => deps.cleanUp();',
        'const { close } = createShop({} as ShopDeps, {} as never);',
        "export const zone = createClock()['zone']();",
        'export const all: Record<string, unknown> = await createLater({ ticks: createClock() });',
        'close();',
      ),
    ).to.deep.equal([]);
  });

  it('takes no writing for reading', () => {
    expect(
      found(
        "import type { Clock } from './service.ts';",
        'export function set(clock: Clock): void { clock.zone = () => "CET"; }',
      ),
    ).to.include('zone of createClock');
  });
});
