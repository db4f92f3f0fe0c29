const isPlain = /^[\x20-\x7e]*$/;
const marks = /\p{M}/gu;
const blanks = /\s+/g;

/**
 * A text as search compares it: without case, without diacritics, and with compatibility forms (full-width letters, ligatures)
 * written plainly; each run of blanks is one space, and there are none at the ends.
 */
export function fold(text: string): string {
  // Most texts need no more.
  if (isPlain.test(text))
    return (text.includes('  ') ? text.replace(blanks, ' ') : text).trim().toLowerCase();
  return text.normalize('NFKD').toLowerCase().replace(marks, '').replace(blanks, ' ').trim();
}
