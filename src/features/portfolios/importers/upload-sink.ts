/**
 * Where an upload flows into: pieces of equal size, stored one after the other, so that a request holds one piece in memory
 * however large its file and however slow Postgres are. What is no text, or too much, is refused while it comes.
 */
import { createHash } from 'node:crypto';
import { Writable } from 'node:stream';
import { AppError, ValidationError } from '../../../domain/errors.ts';
import { probeEncoding, type TextEncoding } from './text-encoding.ts';

/** Largest file (bytes). */
export const mostUploadBytes = 20_000_000;
/** Size of a stored piece (bytes); the last is smaller. */
const pieceBytes = 256 * 1024;

/** What has arrived. */
export interface Arrived {
  readonly bytes: number;
  readonly sha256: string;
  readonly encoding: TextEncoding;
}

/** Stores pieces, which are numbered from 0. */
export type StorePiece = (number: number, bytes: Buffer) => Promise<void>;

/** A stream to write an upload into. It fails when the file is no text, is too large, or `store` fails. */
export class UploadSink extends Writable {
  readonly #store: StorePiece;
  readonly #hash = createHash('sha256');
  readonly #probe = probeEncoding();
  #pending: Buffer[] = [];
  #pendingBytes = 0;
  #bytes = 0;
  #pieces = 0;

  constructor(store: StorePiece) {
    super({ highWaterMark: pieceBytes });
    this.#store = store;
  }

  /**
   * What has arrived, when the stream has ended.
   * @throws {ValidationError} naming `file`: it is empty or no text.
   */
  arrived(): Arrived {
    if (this.#bytes === 0) throw noFile('is empty');
    const encoding = this.#probe.end();
    if (encoding === undefined) throw noFile('ends in the middle of a character');
    return { bytes: this.#bytes, sha256: this.#hash.digest('hex'), encoding };
  }

  override _write(bytes: Buffer, _encoding: string, done: (error?: Error) => void): void {
    this.#take(bytes).then(() => done(), done);
  }

  override _final(done: (error?: Error) => void): void {
    this.#flush().then(() => done(), done);
  }

  async #take(bytes: Buffer): Promise<void> {
    this.#bytes += bytes.length;
    if (this.#bytes > mostUploadBytes) throw tooLarge();
    const problem = this.#probe.add(bytes);
    if (problem !== undefined) throw noFile(problem);
    this.#hash.update(bytes);
    this.#pending.push(bytes);
    this.#pendingBytes += bytes.length;
    if (this.#pendingBytes >= pieceBytes) await this.#flush();
  }

  async #flush(): Promise<void> {
    const all = Buffer.concat(this.#pending);
    this.#pending = [];
    this.#pendingBytes = 0;
    for (let at = 0; at < all.length; at += pieceBytes) {
      await this.#store(this.#pieces, all.subarray(at, at + pieceBytes));
      this.#pieces += 1;
    }
  }
}

/** 422: the file is none that can be imported. */
export function noFile(message: string): ValidationError {
  return new ValidationError('The file cannot be imported', [{ field: 'file', message }]);
}

/** 413: the file is larger than it may be. */
export function tooLarge(): AppError {
  const message = `is larger than ${mostUploadBytes / 1_000_000} MB`;
  return new AppError(`The file ${message}`, {
    code: 'file_too_large',
    status: 413,
    fields: [{ field: 'file', message }],
  });
}
