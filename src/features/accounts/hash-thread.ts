/**
 * Thread task: bcrypt, in this thread, at the lowest priority that the system has, so that it never takes a core from requests
 * for prices. On Linux every thread has its own priority; elsewhere the whole process would be lowered.
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
  /** Work factor: 2^cost rounds; a comparison does at least as many. */
  readonly cost: number;
  /** Absent: make a hash. */
  readonly compareWith?: string;
}

const lowest = 19;
const chrtDeadlineMs = 2_000;

if (process.platform === 'linux' && !isMainThread) {
  attempt(() => setPriority(0, lowest));
  // Schedulers of newer kernels let a thread of the lowest priority finish its slice of milliseconds; an idle-class thread they
  // interrupt at once. Only `chrt`, which every Linux has, can set that.
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
    // Keeps the former priority.
  }
}

/** Returns a hash, or whether the password is that of the hash. */
export default function runHash({ password, cost, compareWith }: HashTask): string | boolean {
  if (compareWith === undefined) return bcrypt.hashSync(password, cost);
  const same = bcrypt.compareSync(password, compareWith);
  // A hash with an older, lower cost takes less time; the rest of the work is done without need, so that the time reveals
  // nothing. Each cost is twice the one before: c, then c, c+1 … add up to exactly the requested cost.
  for (let spent = roundsOf(compareWith, cost); spent < cost; spent++) {
    bcrypt.compareSync(password, decoyHash(spent));
  }
  return same;
}

/** A hash that no password has, and that takes as long to compare with as any other of this cost. */
export function decoyHash(cost: number): string {
  return `$2b$${String(cost).padStart(2, '0')}$nobodyhasthispassword.${'.'.repeat(31)}`;
}

/** bcrypt refuses a text that is not a hash without doing any work. */
function roundsOf(hash: string, otherwise: number): number {
  try {
    return bcrypt.getRounds(hash);
  } catch {
    return otherwise;
  }
}
