/** Processes whose clock is wrong, by Debian's libfaketime. */
import { existsSync } from 'node:fs';

const folders = ['x86_64', 'aarch64'].map((machine) => `/usr/lib/${machine}-linux-gnu/faketime`);
const library = folders.map((folder) => `${folder}/libfaketimeMT.so.1`).find((path) => existsSync(path));

/** Environment of a process whose clock is off by so much (s); undefined when libfaketime is not there (Debian: `faketime`). */
export function clockOffBy(seconds: number): Readonly<Record<string, string>> | undefined {
  if (library === undefined) return undefined;
  const sign = seconds < 0 ? '-' : '+';
  return {
    LD_PRELOAD: library,
    FAKETIME: `${sign}${Math.abs(seconds)}s`,
    FAKETIME_DONT_FAKE_MONOTONIC: '1',
  };
}

/** As {@link clockOffBy}, by what a file says while the process runs: libfaketime reads it again every second. */
export function clockByFile(path: string): Readonly<Record<string, string>> {
  return {
    LD_PRELOAD: library ?? '',
    FAKETIME_TIMESTAMP_FILE: path,
    FAKETIME_CACHE_DURATION: '1',
    FAKETIME_DONT_FAKE_MONOTONIC: '1',
  };
}
