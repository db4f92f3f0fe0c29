/** One start from the first check to the last stop. */
import { existsSync } from 'node:fs';
import { realpath, stat } from 'node:fs/promises';
import { extname, join, resolve } from 'node:path';
import { bannerOf } from './banner.ts';
import { tailOf } from './child.ts';
import { freePort, isPortFree } from './free-port.ts';
import { takeLock } from './lock.ts';
import { planOf, replayFolderOf, type Plan } from './plan.ts';
import { projectRoot } from './project-root.ts';
import { createStack, type Scripts, type Stack } from './stack.ts';
import { StartError } from './start-error.ts';
import { messageOf } from '../src/domain/errors.ts';
import { sleep } from '../src/platform/concurrency/sleep.ts';
import { ConfigError, loadConfig, type Config } from '../src/platform/config/load-config.ts';
import { makeFolder } from '../src/platform/make-folder.ts';

interface RunOptions {
  readonly environment: NodeJS.ProcessEnv;
  /** What to run as API and worker; the real ones when absent. */
  readonly scripts?: Scripts;
  /** When the process started (ms since the epoch), for the time in the banner. */
  readonly startedAt: number;
}

/** Why a run ends. */
interface Ending {
  readonly code: number;
  readonly reason: string;
}

const readyTimeoutMs = 60_000;
const parentPollMs = 500;

/**
 * Brings everything up, keeps it up until a signal, and takes it down.
 * @returns the exit code: 0 after a signal, 1 when something could not be started or kept up.
 */
export async function run(options: RunOptions): Promise<number> {
  const { environment } = options;
  const ending = pendingEnding();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => ending.resolve({ code: 0, reason: signal }));
  }
  if (environment.npm_lifecycle_event !== undefined)
    onOrphaned(() => ending.resolve({ code: 0, reason: 'npm has exited' }));
  try {
    return await runUntil(ending, options);
  } catch (error) {
    complain(error);
    return 1;
  }
}

/** npm does not notify its child when it is killed, so a missing parent means that we are to stop. */
function onOrphaned(then: () => void): void {
  const parent = process.ppid;
  setInterval(() => {
    if (process.ppid !== parent) then();
  }, parentPollMs).unref();
}

function pendingEnding() {
  let resolve: (ending: Ending) => void = () => undefined;
  const promise = new Promise<Ending>((settle) => (resolve = settle));
  return {
    promise,
    /** Only the first call counts. */
    resolve: (ending: Ending): void => resolve(ending),
  };
}

async function runUntil(ending: ReturnType<typeof pendingEnding>, options: RunOptions): Promise<number> {
  const config = loadConfig(options.environment);
  const plan = planOf(config);
  if (plan.market === 'replay') replayFolderOf(config);
  // A data folder on a disk that hangs may never answer, and an orderly exit waits for what is read. Nothing has been started yet, so
  // the signal ends the process at once. If the lock is taken a moment later, the next start sees that its holder has
  // ended.
  const place = await Promise.race([openPlace(config), ending.promise.then(() => undefined)]);
  if (place === undefined) return endBySignal(await ending.promise);
  const { dataDir, port, url, lock } = place;
  const stack = createStack({
    config,
    plan,
    dataDir,
    port,
    say,
    environment: options.environment,
    scripts: options.scripts ?? realScripts(),
    giveUp: (reason) => ending.resolve({ code: 1, reason }),
  });
  const stopped = new AbortController();
  const starting = bringUp({
    stack,
    plan,
    url,
    dataDir,
    port,
    config,
    startedAt: options.startedAt,
    signal: stopped.signal,
  });
  starting.catch((error: unknown) => {
    if (!stopped.signal.aborted) complain(error);
    ending.resolve({ code: 1, reason: 'the start failed' });
  });
  const { code, reason } = await ending.promise;
  stopped.abort();
  return end({ stack, lock, code, reason });
}

/** Lets the signal do what it does to a process that does not listen to it. */
function endBySignal({ code, reason }: Ending): number {
  const signal = (['SIGINT', 'SIGHUP'] as const).find((each) => each === reason) ?? 'SIGTERM';
  process.removeAllListeners(signal);
  process.kill(process.pid, signal);
  return code;
}

/** The data folder, and the right to run on it. */
async function openPlace(config: Config) {
  const dataDir = await openDataDir(config);
  const port = config.PORT === 0 ? await freePort() : config.PORT;
  const url = urlOf(config.HOST, port);
  return { dataDir, port, url, lock: await takeLock(dataDir, url) };
}

async function bringUp(options: {
  readonly stack: Stack;
  readonly plan: Plan;
  readonly url: string;
  readonly dataDir: string;
  readonly port: number;
  readonly config: Config;
  readonly startedAt: number;
  readonly signal: AbortSignal;
}): Promise<void> {
  const { stack, plan, url, dataDir, port, config, startedAt, signal } = options;
  if (!(await isPortFree(port, config.HOST))) {
    throw new StartError(
      `Port ${port} is taken. Choose another one: PORT=${await freePortAfter(port, config)} npm start (PORT=0 takes any free one).`,
    );
  }
  say('Starting Pricepool (the first start prepares Postgres and may download Redis)');
  await stack.start();
  await untilApiReady({ url, timeoutMs: readyTimeoutMs, signal });
  if (signal.aborted) return;
  const seconds = (Date.now() - startedAt) / 1_000;
  say(bannerOf({ plan, url, dataDir, logDir: stack.logDir, seconds }));
}

async function end({
  stack,
  lock,
  code,
  reason,
}: Ending & { stack: Stack; lock: Awaited<ReturnType<typeof takeLock>> }): Promise<number> {
  if (code !== 0) {
    say(`Stopping, because ${reason}`);
    for (const name of ['api', 'worker']) await sayEndOfLog(join(stack.logDir, `${name}.log`));
  } else {
    say(`Stopping (${reason})`);
  }
  await stack.stop();
  await lock.release();
  say('Stopped');
  return code;
}

async function sayEndOfLog(path: string): Promise<void> {
  if (existsSync(path)) say(`End of ${path}:\n${await tailOf(path)}`);
}

async function openDataDir(config: Config): Promise<string> {
  const wanted = resolve(projectRoot, config.PRICEPOOL_DATA_DIR);
  try {
    // An asynchronous call first: on a disk that hangs, a synchronous one would block the process.
    const isThere = await stat(wanted).then(
      (found) => found.isDirectory(),
      () => false,
    );
    if (!isThere) makeFolder(wanted);
    return await realpath(wanted);
  } catch (error) {
    throw new StartError(
      `The data folder ${wanted} cannot be created (${messageOf(error)}). Choose another one with PRICEPOOL_DATA_DIR.`,
      error,
    );
  }
}

/** A free port near a taken one, for a message; 0 when there is none. */
async function freePortAfter(taken: number, { HOST, MARKET_PORT }: Config): Promise<number> {
  const last = Math.min(taken + 100, 65_535);
  for (let port = taken + 1; port <= last; port += 1) {
    if (port !== MARKET_PORT && (await isPortFree(port, HOST))) return port;
  }
  return 0;
}

/** An address for a client on this machine, also where the server listens on all addresses. */
function urlOf(host: string, port: number): string {
  if (host === '0.0.0.0') return `http://127.0.0.1:${port}`;
  if (host === '::') return `http://[::1]:${port}`;
  return `http://${host.includes(':') ? `[${host}]` : host}:${port}`;
}

/** Scripts of the same kind as this one: source when run from source, built when built. */
function realScripts(): Scripts {
  const root = resolve(import.meta.dirname, '..');
  const extension = extname(import.meta.filename);
  return { api: join(root, 'src', `main${extension}`), worker: join(root, 'workers', `main${extension}`) };
}

function complain(error: unknown): void {
  const expected = error instanceof StartError || error instanceof ConfigError;
  const text = expected
    ? error.message
    : error instanceof Error
      ? (error.stack ?? error.message)
      : String(error);
  process.stderr.write(`${text}\n`);
}

function say(message: string): void {
  process.stdout.write(`${message}\n`);
}

const pollMs = 50;
const requestTimeoutMs = 2_000;
const shownCharacters = 500;

/**
 * Waits until the API says that it is ready.
 * @throws {StartError} with what it said last, when the time is up; the signal's reason when aborted.
 */
async function untilApiReady({
  url,
  timeoutMs,
  signal,
}: {
  /** Root of the API. */
  readonly url: string;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}): Promise<void> {
  const until = performance.now() + timeoutMs;
  for (;;) {
    const reason = await reasonNotReady(`${url}/health/ready`);
    if (reason === undefined) return;
    if (performance.now() > until) {
      throw new StartError(`The API was not ready within ${timeoutMs / 1000} s: ${reason}`);
    }
    await sleep(pollMs, signal);
  }
}

async function reasonNotReady(url: string): Promise<string | undefined> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(requestTimeoutMs) });
    const body = await response.text();
    return response.status === 200 ? undefined : `${response.status} ${body.slice(0, shownCharacters)}`;
  } catch (error) {
    const { cause } = error as { cause?: unknown };
    return `${url} does not answer (${messageOf(cause ?? error)})`;
  }
}
