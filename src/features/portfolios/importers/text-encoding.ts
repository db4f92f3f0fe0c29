/**
 * Finds the text encoding of a report. Exchanges write UTF-8; spreadsheet programs in between write UTF-16 with a byte order
 * mark, or Windows-1252. A file is valid UTF-8 as a whole or it is not UTF-8, so the encoding is known after the last byte.
 */

/** Encodings of files. Windows-1252 contains Latin-1. */
export const textEncodings = ['utf-8', 'utf-16le', 'utf-16be', 'windows-1252'] as const;
export type TextEncoding = (typeof textEncodings)[number];

/** First bytes of files that are not text. */
const signatures: readonly (readonly [string, string])[] = [
  ['504b0304', 'a zip archive or a spreadsheet (xlsx)'],
  ['504b0506', 'a zip archive'],
  ['504b0708', 'a zip archive'],
  ['1f8b', 'compressed (gzip)'],
  ['425a68', 'compressed (bzip2)'],
  ['fd377a585a00', 'compressed (xz)'],
  ['377abcaf271c', 'a 7-Zip archive'],
  ['526172211a07', 'a RAR archive'],
  ['d0cf11e0a1b11ae1', 'a spreadsheet (xls)'],
  ['25504446', 'a PDF document'],
];
/** Number of bytes that are enough to recognise them. */
const longestSignature = 8;

/** Examines the bytes of a file as they arrive. */
export function probeEncoding() {
  const utf8 = new TextDecoder('utf-8', { fatal: true });
  let head = Buffer.alloc(0);
  let marked: TextEncoding | undefined;
  let isUtf8 = true;
  let bytesSeen = 0;

  return {
    /** Why the file is not text, judging by the bytes so far; undefined when it may be. */
    add(bytes: Uint8Array): string | undefined {
      if (head.length < longestSignature) {
        head = Buffer.concat([head, bytes.subarray(0, longestSignature - head.length)]);
        marked = markOf(head);
        const known = signatures.find(([signature]) => head.toString('hex').startsWith(signature));
        if (known !== undefined) return `is ${known[1]}, not a CSV file`;
      }
      bytesSeen += bytes.length;
      if (marked !== undefined) return undefined;
      if (bytes.includes(0)) return 'contains bytes that are not text: it is not a CSV file';
      if (isUtf8) isUtf8 = isValid(utf8, bytes);
      return undefined;
    },
    /** The encoding, after the last byte; undefined when it is text in none of them. */
    end(): TextEncoding | undefined {
      if (marked !== undefined) return bytesSeen % 2 === 0 ? marked : undefined;
      return isUtf8 && isValid(utf8) ? 'utf-8' : 'windows-1252';
    },
  };
}

function markOf(head: Buffer): TextEncoding | undefined {
  if (head[0] === 0xff && head[1] === 0xfe) return 'utf-16le';
  if (head[0] === 0xfe && head[1] === 0xff) return 'utf-16be';
  return undefined;
}

/** Without bytes: whether the input so far is complete. */
function isValid(decoder: InstanceType<typeof TextDecoder>, bytes?: Uint8Array): boolean {
  try {
    decoder.decode(bytes, { stream: bytes !== undefined });
    return true;
  } catch {
    return false;
  }
}

/**
 * The text of a file, chunk by chunk, without a byte order mark. Characters that Postgres cannot store are left out; byte
 * sequences that are invalid in the encoding become U+FFFD.
 */
export async function* decodeText(
  chunks: AsyncIterable<Uint8Array>,
  encoding: TextEncoding,
): AsyncGenerator<string> {
  const decoder = new TextDecoder(encoding);
  for await (const chunk of chunks) {
    const text = decoder.decode(chunk, { stream: true });
    if (text !== '') yield text.includes('\0') ? text.replaceAll('\0', '') : text;
  }
  const rest = decoder.decode();
  if (rest !== '') yield rest;
}
