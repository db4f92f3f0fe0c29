import { PreconditionFailedError } from './errors.ts';

/** Versions that a client takes a thing to have; `any` when it does not mind. */
export type ExpectedVersion = 'any' | readonly number[];

/** @throws {PreconditionFailedError} it has another version than the client expects. */
export function confirmVersion(version: number, expected: ExpectedVersion): void {
  if (expected !== 'any' && !expected.includes(version)) throw new PreconditionFailedError();
}
