import { ValidationError } from '../../../domain/errors.ts';
import { isText } from './imported.ts';

/** Columns of a report: more than any has. */
const mostColumns = 500;
/** Longest name of a column (characters). */
const longestName = 200;

/**
 * What every header keeps: its names are told in the problems of rows.
 * @throws {ValidationError} naming the header.
 */
export function checkHeader(header: readonly string[]): void {
  if (header.length > mostColumns) throw invalid(`has more than ${mostColumns} columns`);
  const place = header.findIndex((name) => name.length > longestName || !isText(name));
  if (place !== -1)
    throw invalid(`the name of column ${place + 1} is longer than ${longestName} characters or no text`);
}

function invalid(message: string): ValidationError {
  return new ValidationError('The header cannot be read', [{ field: 'header', message }]);
}
