import { expect } from 'chai';
import fc from 'fast-check';
import {
  decodeText,
  probeEncoding,
  type TextEncoding,
} from '../../../src/features/portfolios/importers/text-encoding.ts';

/** A file in pieces of a size. */
function pieces(file: Buffer, size: number): Buffer[] {
  const count = Math.ceil(file.length / size);
  return Array.from({ length: count }, (_, n) => file.subarray(n * size, (n + 1) * size));
}

/** What a file is found to be, and its text; or what makes it none. */
async function read(file: Buffer, size: number): Promise<string> {
  const probe = probeEncoding();
  for (const piece of pieces(file, size)) {
    const problem = probe.add(piece);
    if (problem !== undefined) return problem;
  }
  const encoding = probe.end();
  if (encoding === undefined) return 'none';
  // eslint-disable-next-line @typescript-eslint/require-await
  const chunks = async function* () {
    yield* pieces(file, size);
  };
  let text = '';
  for await (const part of decodeText(chunks(), encoding)) text += part;
  return `${encoding}:${text}`;
}

const bom = '\ufeff';

describe('the encoding of a file', () => {
  const sizes = [1, 2, 3, 7, 1_000];
  const text = 'Zürich – €5 𝄞\r\n';
  const files: readonly (readonly [TextEncoding, Buffer, string])[] = [
    ['utf-8', Buffer.from(text), text],
    ['utf-8', Buffer.from(bom + text), text],
    ['utf-16le', Buffer.from(bom + text, 'utf16le'), text],
    ['utf-16be', Buffer.from(bom + text, 'utf16le').swap16(), text],
    ['windows-1252', Buffer.from('Z\xfcrich \x80 5', 'latin1'), 'Zürich € 5'],
    ['utf-8', Buffer.from('plain'), 'plain'],
    // A character that is cut off is not UTF-8.
    ['windows-1252', Buffer.from('Zü').subarray(0, 2), 'ZÃ'],
  ];
  for (const [encoding, file, expected] of files) {
    it(`is ${encoding} of ${JSON.stringify(file.toString('latin1'))}, in pieces of any size`, async () => {
      for (const size of sizes) expect(await read(file, size)).to.equal(`${encoding}:${expected}`);
    });
  }

  for (const [what, head, reason] of [
    ['a zip', '504b0304140000', 'is a zip archive or a spreadsheet (xlsx), not a CSV file'],
    ['gzip', '1f8b0800', 'is compressed (gzip), not a CSV file'],
    ['an old spreadsheet', 'd0cf11e0a1b11ae1', 'is a spreadsheet (xls), not a CSV file'],
    ['a PDF', '255044462d', 'is a PDF document, not a CSV file'],
    ['a picture', '89504e470d0a1a0a00', 'contains bytes that are not text: it is not a CSV file'],
  ] as const) {
    it(`is none of ${what}`, async () => {
      for (const size of sizes) expect(await read(Buffer.from(head, 'hex'), size)).to.equal(reason);
    });
  }

  it('of half a character in UTF-16 is none', async () => {
    expect(await read(Buffer.from('fffe410042', 'hex'), 2)).to.equal('none');
  });

  it('of any bytes never throws', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.uint8Array({ maxLength: 60 }),
        fc.integer({ min: 1, max: 9 }),
        async (bytes, size) => {
          expect(await read(Buffer.from(bytes), size)).to.be.a('string');
        },
      ),
    );
  });
});
