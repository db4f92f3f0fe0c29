/**
 * Thread task: bcrypt, in the very thread, at the lowest priority that the system knows, so that a core which serves prices
 * is never taken from them. Linux gives every thread a priority of its own; elsewhere the whole process would be lowered.
 */
import { execFileSync } from 'node:child_process';
import { readlinkSync } from 'node:fs';
import { setPriority } from 'node:os';
import { basename } from 'node:path';
import { isMainThread } from 'node:worker_threads';
import bcrypt from 'bcrypt';

/** A password to hash at a cost, or one to compare with a hash. */
export interface HashTask {
  readonly password: string;
  /** Work factor: 2^cost rounds; a comparison does as many at least. */
  readonly cost: number;
  /** Absent: make a hash. */
  readonly compareWith?: string;
}

const lowest = 19;
const chrtDeadlineMs = 2_000;

if (process.platform === 'linux' && !isMainThread) {
  attempt(() => setPriority(0, lowest));
  // Schedulers of newer kernels let a thread of the lowest priority finish its slice of milliseconds; one that is idle they
  // interrupt at once. Only `chrt`, a part of every Linux, can say so.
  attempt(() => {
    const thread = basename(readlinkSync('/proc/thread-self'));
    execFileSync('chrt', ['--idle', '--pid', '0', thread], { stdio: 'ignore', timeout: chrtDeadlineMs });
  });
}

/** A sandbox may forbid it: hashing then competes with the rest, no worse than without threads. */
function attempt(change: () => void): void {
  try {
    change();
  } catch {
    // As it was.
  }
}

/** Returns a hash, or whether the password is that of the hash. */
export default function runHash({ password, cost, compareWith }: HashTask): string | boolean {
  if (compareWith === undefined) return bcrypt.hashSync(password, cost);
  const same = bcrypt.compareSync(password, compareWith);
  // A hash of an older, lower cost is done sooner; the rest of the work is done for nothing, so that the time tells nothing.
  // Each cost is twice the one before: c, then c, c+1 … sum up to exactly the asked cost.
  for (let spent = roundsOf(compareWith, cost); spent < cost; spent++) {
    bcrypt.compareSync(password, decoyHash(spent));
  }
  return same;
}

/** A hash that no password has, and that costs as much to compare with as any other of this cost. */
export function decoyHash(cost: number): string {
  return `$2b$${String(cost).padStart(2, '0')}$nobodyhasthispassword.${'.'.repeat(31)}`;
}

/** A text that is no hash at all is refused by bcrypt without any work. */
function roundsOf(hash: string, otherwise: number): number {
  try {
    return bcrypt.getRounds(hash);
  } catch {
    return otherwise;
  }
}
