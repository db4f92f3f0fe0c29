import { PreconditionFailedError } from './errors.ts';

/** Versions that a client expects a resource to have; `any` if it accepts all. */
export type ExpectedVersion = 'any' | readonly number[];

/** @throws {PreconditionFailedError} it has another version than the client expects. */
export function confirmVersion(version: number, expected: ExpectedVersion): void {
  if (expected !== 'any' && !expected.includes(version)) throw new PreconditionFailedError();
}
