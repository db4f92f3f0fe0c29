import type { z } from 'zod';
import { ValidationError, type FieldProblem } from '../../lib/errors.ts';

const mostProblems = 20;
const longestName = 64;

/**
 * Checks one part of a request. `prefix` stands before the field names: empty for the body, `query.` and so on.
 * @throws {ValidationError} naming every field that breaks a rule, twenty at most.
 */
export function validate<S extends z.ZodType>(schema: S, given: unknown, prefix = ''): z.output<S> {
  const outcome = schema.safeParse(given);
  if (outcome.success) return outcome.data;
  const fields = outcome.error.issues.flatMap((issue) => toFieldProblems(issue, prefix)).slice(0, mostProblems);
  throw new ValidationError('The request breaks a rule', fields);
}

function toFieldProblems(issue: z.core.$ZodIssue, prefix: string): FieldProblem[] {
  const field = nameOf(issue.path, prefix);
  if (issue.code !== 'unrecognized_keys') return [{ field, message: issue.message }];
  return issue.keys.map((key) => ({ field: nameOf([...issue.path, key], prefix), message: 'is not a known field' }));
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
