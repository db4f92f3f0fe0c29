/** What goes wrong: one fault every 20 s, each kind once before any comes again, and how long it takes to recover from it. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Row } from '../support/bench.ts';
import { anyOf, pause, type Soak } from './clients.ts';
import type { Slot } from './fleet.ts';

const everyMs = 20_000;
const stopMs = 15_000;
const awayMs = 2_000;
const fullDiskMs = 12_000;
const clockSteps = [3_600, -3_600, 20, -20];
/** Names of connections to Redis of which all that are open freeze; the empty one stands for every connection. */
const redisConnections = ['', 'pricepool-subscriber', 'pricepool-requests'];
const pollMs = 250;

/** Makes the fault, and resolves with what it was when it is over. */
type Fault = () => Promise<string>;

export const faultNames = [
  'kill',
  'stop',
  'freeze',
  'flushall',
  'redis',
  'postgres',
  'clock',
  'logs',
] as const;
type FaultName = (typeof faultNames)[number];

const titles: Readonly<Record<FaultName, string>> = {
  kill: 'kill -9 of a process',
  stop: `SIGSTOP for ${stopMs / 1_000} s`,
  freeze: 'connections that freeze',
  flushall: 'FLUSHALL',
  redis: 'Redis killed and started again',
  postgres: 'Postgres killed and started again',
  clock: "a step of a worker's clock",
  logs: 'a full disk for logs',
};

interface Recovery {
  readonly name: FaultName;
  readonly what: string;
  /** Time (ms) after the fault until both APIs were ready and a job was done; undefined when the next fault came first. */
  readonly tookMs: number | undefined;
}

interface Faults {
  /** Makes faults until the load ends. */
  run(): Promise<void>;
  rows(): Row[];
}

/** @param chosen kinds that are made; all when empty. */
export function createFaults(soak: Soak, chosen: readonly string[]): Faults {
  const { fleet } = soak;
  const { stack, proxies, slots } = fleet;
  const recoveries: Recovery[] = [];
  let [kills, freezes, steps] = [0, 0, 0];

  const running = (): Slot => anyOf(slots.filter(({ isDown }) => !isDown));

  const makers: Readonly<Record<FaultName, Fault | undefined>> = {
    async kill() {
      // Each process in turn.
      const slot = slots[kills++ % slots.length] ?? running();
      await fleet.restart(slot);
      return slot.name;
    },
    async stop() {
      const slot = running();
      const { pid } = slot.process;
      process.kill(pid, 'SIGSTOP');
      // The end of the soak must not find it asleep.
      await pause(soak, stopMs);
      process.kill(pid, 'SIGCONT');
      return slot.name;
    },
    freeze() {
      const turn = freezes++;
      if (turn % 2 === 1) return Promise.resolve(`${proxies.postgres.freeze()} to Postgres`);
      const name = redisConnections[(turn / 2) % redisConnections.length] ?? '';
      return Promise.resolve(`${proxies.redis.freeze(name)} to Redis ${name}`);
    },
    async flushall() {
      await fleet.backstage.redis.flushall();
      return '';
    },
    async redis() {
      await stack.redis?.kill();
      await sleep(awayMs);
      await stack.redis?.restart();
      return '';
    },
    async postgres() {
      await stack.postgres?.kill();
      await sleep(awayMs);
      await stack.postgres?.restart();
      return '';
    },
    clock:
      fleet.setClock &&
      (async () => {
        const step = clockSteps[steps++ % clockSteps.length] ?? 0;
        await fleet.setClock?.(step);
        await pause(soak, stopMs);
        await fleet.setClock?.(0);
        return `${step} s`;
      }),
    logs:
      fleet.fillLogs &&
      (async () => {
        await fleet.fillLogs?.(true);
        await pause(soak, fullDiskMs);
        await fleet.fillLogs?.(false);
        return '';
      }),
  };
  const wanted = faultNames.filter((name) => chosen.length === 0 || chosen.includes(name));
  const possible = wanted.filter((name) => makers[name] !== undefined);

  async function isHealthy(): Promise<boolean> {
    const [user] = soak.users;
    for (const { url } of stack.apis) {
      const ready = await fetch(`${url}/health/ready`, { signal: AbortSignal.timeout(2_000) });
      await ready.body?.cancel();
      if (ready.status !== 200) return false;
    }
    const job = await user?.ask('POST', '/crypto/bulk', {
      body: { coins: ['bitcoin'] },
      headers: { prefer: 'wait=2' },
    });
    return job?.status === 200;
  }

  /** @returns ms, or undefined when it has not recovered at `until`. */
  async function recovery(until: number): Promise<number | undefined> {
    const since = Date.now();
    do {
      if (await isHealthy().catch(() => false)) return Date.now() - since;
      await pause(soak, pollMs);
    } while (Date.now() < until && !soak.end.aborted);
    return undefined;
  }

  return {
    async run() {
      let waiting: FaultName[] = [];
      for (let next = Date.now() + everyMs; ; next += everyMs) {
        await pause(soak, next - Date.now());
        if (soak.end.aborted) return;
        if (waiting.length === 0) waiting = possible.toSorted(() => Math.random() - 0.5);
        const name = waiting.shift();
        const make = name && makers[name];
        if (name === undefined || make === undefined) continue;
        const what = await make().catch((error: unknown) => `FAILED ${String(error)}`);
        const tookMs = await recovery(next + everyMs - 500);
        recoveries.push({ name, what, tookMs });
        const took = tookMs === undefined ? 'not recovered before the next' : `${seconds(tookMs)} s`;
        soak.say(`${new Date().toISOString()} ${titles[name]} ${what}: ${took}`);
      }
    },
    rows: () =>
      wanted.map((name) => {
        const mine = recoveries.filter((each) => each.name === name);
        const took = mine.flatMap(({ tookMs }) => (tookMs === undefined ? [] : [tookMs]));
        const late = mine.length - took.length;
        if (makers[name] === undefined)
          return { what: `  ${titles[name]}`, result: 'left out: not possible here' };
        const longest = took.length === 0 ? '' : `, at most ${seconds(Math.max(...took))} s`;
        return {
          what: `  ${titles[name]}`,
          result: `${mine.length}${longest}${late === 0 ? '' : `, ${late} not before the next fault`}`,
        };
      }),
  };
}

const seconds = (ms: number): string => (ms / 1_000).toFixed(1);
