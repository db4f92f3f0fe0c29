import type { z } from 'zod';
import { ValidationError, type FieldProblem } from '../../domain/errors.ts';

const maxProblems = 20;
const longestName = 64;

/**
 * Validates the parts of a request together and returns them as their schemas convert them; undefined where there is no schema.
 * @throws {ValidationError} naming every invalid field, twenty at most.
 */
export function validate(
  parts: readonly {
    readonly schema: z.ZodType | undefined;
    readonly given: unknown;
    /** Stands before the names of its fields: empty for path and body, `query.` for the query. */
    readonly prefix: string;
  }[],
): unknown[] {
  const fields: FieldProblem[] = [];
  const values = parts.map(({ schema, given, prefix }) => {
    const outcome = schema?.safeParse(given);
    if (outcome?.success === false)
      fields.push(...outcome.error.issues.flatMap((issue) => toFieldProblems(issue, prefix)));
    return outcome?.data;
  });
  if (fields.length > 0) throw new ValidationError('The request is not valid', fields.slice(0, maxProblems));
  return values;
}

function toFieldProblems(issue: z.core.$ZodIssue, prefix: string): FieldProblem[] {
  const field = nameOf(issue.path, prefix);
  if (issue.code === 'invalid_type' && issue.message.endsWith('received undefined')) {
    return [{ field, message: 'is required' }];
  }
  if (issue.code !== 'unrecognized_keys') return [{ field, message: inPlainWords(issue) }];
  return issue.keys.map((key) => ({
    field: nameOf([...issue.path, key], prefix),
    message: 'is not a known field',
  }));
}

const kinds: Readonly<Record<string, string>> = {
  string: 'a string',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  array: 'a list',
  object: 'an object',
  record: 'an object',
};

/** Most rules say themselves what is wrong; for those that leave it to the library, what the others would have said. */
function inPlainWords(issue: z.core.$ZodIssue): string {
  const { message } = issue;
  if (issue.code === 'invalid_type' && message.startsWith('Invalid input'))
    return `must be ${kinds[issue.expected] ?? issue.expected}`;
  if (issue.code === 'invalid_key' && message.startsWith('Invalid key'))
    return issue.issues[0]?.message ?? 'is not a known field';
  return message;
}

/** `['holdings', 2, 'quantity']` becomes `holdings[2].quantity`. */
function nameOf(path: readonly PropertyKey[], prefix: string): string {
  let name = '';
  for (const part of path) {
    if (typeof part === 'number') name += `[${part}]`;
    else name += name === '' ? String(part).slice(0, longestName) : `.${String(part).slice(0, longestName)}`;
  }
  if (name === '') return prefix === '' ? 'body' : prefix.replace(/\.$/, '');
  return prefix + name;
}
