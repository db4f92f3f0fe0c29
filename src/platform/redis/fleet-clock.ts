/**
 * One clock for the processes of a fleet. Moments that two processes compare (when a price was received, until when a token is
 * good, which day usage belongs to) must not depend on the clock of the machine that made them: one that runs an hour ahead would
 * make its prices fresh for an hour.
 *
 * `now()` is the process's monotonic time plus an offset that is learnt from the clock of Redis. It asks no socket and never goes
 * back. Until Redis has answered for the first time it is the machine's own clock.
 */
import type { Redis } from 'ioredis';
import { messageOf } from '../../domain/errors.ts';
import type { Clock } from '../concurrency/clock.ts';
import type { Logger } from '../observability/logger.ts';
import { redisScript, runScript } from './redis-script.ts';

export interface FleetClock extends Clock {
  /** How far (ms) this machine's clock is ahead of that of Redis; undefined until that is known. */
  leadMs(): number | undefined;
  /** Settles when the offset is known, or after `ms` when it is not. */
  whenKnown(ms: number): Promise<void>;
  /** Calls `listener` after every look, with {@link leadMs}. Returns how to stop. */
  onPoll(listener: (leadMs: number) => void): () => void;
  close(): void;
}

/** Time (ms) between two looks. */
const pollIntervalMs = 10_000;
/** Questions of a look; the one that was answered soonest counts. */
const questions = 3;
/** Share of the time that passes by which the clock is slowed down while it is ahead. */
const slewRate = 0.1;
/** From this on (ms) an operator hears that a clock is off. */
const warnMs = 2_000;

/**
 * KEYS: hash with `last`, the time of Redis at the last look of anybody (ms), and `ahead`, by how much the fleet is ahead of it.
 * ARGV: slew rate. Returns the time of the fleet and that of Redis (ms).
 *
 * When the clock of Redis goes back, the fleet goes on from where it was and is slowed down until Redis has caught up. Kept in
 * Redis, so that a process that starts meanwhile goes along with the others.
 */
const timeScript = redisScript(`
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local kept = redis.call('HMGET', KEYS[1], 'last', 'ahead')
local last, ahead = tonumber(kept[1] or now), tonumber(kept[2] or 0)
if now < last then
  ahead = ahead + last - now
elseif ahead > 0 then
  ahead = math.max(0, ahead - (now - last) * tonumber(ARGV[1]))
end
redis.call('HSET', KEYS[1], 'last', string.format('%.0f', now), 'ahead', string.format('%.3f', ahead))
return { string.format('%.0f', now + ahead), string.format('%.0f', now) }`);

/** Opens the clock of a process. Nothing is waited for. */
export function openFleetClock({
  redis,
  key,
  log,
  machine = { wall: () => Date.now(), monotonic: () => performance.now() },
}: {
  readonly redis: Redis;
  readonly key: string;
  readonly log: Logger;
  /** The machine's clocks (ms). */
  readonly machine?: { readonly wall: () => number; readonly monotonic: () => number };
}): FleetClock {
  const { wall, monotonic } = machine;
  /** `now()` is monotonic time plus `offset`, less what is slewed away of `excess` since `slewFrom`. */
  let offset = wall() - monotonic();
  let excess = 0;
  let slewFrom = 0;
  /** What the time of Redis itself is ahead of monotonic time. */
  let redisOffset = 0;
  let isKnown = false;
  let isOff = false;
  const waiting = new Set<() => void>();
  const listeners = new Set<(leadMs: number) => void>();

  const slewed = (at: number): number => Math.min(excess, (at - slewFrom) * slewRate);
  const exact = (at: number): number => at + offset - (excess === 0 ? 0 : slewed(at));
  const now = (): number => Math.floor(exact(monotonic()));
  const leadMs = (): number | undefined =>
    isKnown ? Math.round(wall() - monotonic() - redisOffset) : undefined;

  const setTo = (fleetMs: number, at: number): void => {
    const behind = fleetMs - exact(at);
    if (isKnown && Math.abs(behind) >= warnMs)
      log.warn(
        { ms: Math.round(behind) },
        behind > 0
          ? 'the clock of Redis jumped ahead, or this process was suspended; time here now follows Redis (no action if it happens once)'
          : 'the clock of the Redis machine was set back; time here runs slower until both agree (check NTP on the Redis machine)',
      );
    // Ahead at once: whatever is held then looks older, and is fetched again. Back only slowly, or it would look younger.
    if (!isKnown || behind >= 0) {
      offset = fleetMs - at;
      excess = 0;
    } else {
      offset = exact(at) - at;
      excess = -behind;
      slewFrom = at;
    }
    isKnown = true;
  };

  const ask = async () => {
    const sentAt = monotonic();
    const reported = (await runScript(redis, timeScript, { keys: [key], args: [slewRate] })) as [
      string,
      string,
    ];
    const at = monotonic();
    const errorMs = (at - sentAt) / 2;
    const [fleetMs = 0, redisMs = 0] = reported.map((ms) => Number(ms) + errorMs);
    return { fleetMs, redisMs, at, errorMs };
  };
  const poll = async (): Promise<void> => {
    let best = await ask();
    for (let n = 1; n < questions; n++) {
      const next = await ask();
      if (next.errorMs < best.errorMs) best = next;
    }
    redisOffset = best.redisMs - best.at;
    // Redis tells whole milliseconds; within what is not known there is nothing to correct.
    if (!isKnown || Math.abs(best.fleetMs - exact(best.at)) > best.errorMs + 1) setTo(best.fleetMs, best.at);
    for (const resolve of waiting) resolve();
    waiting.clear();
    const lead = leadMs() ?? 0;
    if (Math.abs(lead) >= warnMs !== isOff) {
      isOff = !isOff;
      if (isOff)
        log.warn(
          { leadMs: lead },
          "this machine's clock differs from the clock of Redis; the time of Redis is used (check NTP on both machines)",
        );
      else log.info({ leadMs: lead }, "this machine's clock agrees with the clock of Redis again");
    }
    for (const listener of listeners) listener(lead);
  };
  let underWay: Promise<void> | undefined;
  const pollOnce = (): void => {
    // A connection that is away is no news here: what uses it tells.
    underWay ??= poll()
      .catch((error: unknown) => log.debug({ reason: messageOf(error) }, 'the time of Redis is not known'))
      .finally(() => (underWay = undefined));
  };

  const timer = setInterval(pollOnce, pollIntervalMs);
  timer.unref();
  redis.on('ready', pollOnce);
  if (redis.status === 'ready') pollOnce();

  return {
    now,
    leadMs,
    async whenKnown(ms) {
      if (isKnown) return;
      await new Promise<void>((resolve) => {
        const late = setTimeout(resolve, ms);
        waiting.add(() => {
          clearTimeout(late);
          resolve();
        });
      });
    },
    onPoll(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    close() {
      clearInterval(timer);
      redis.off('ready', pollOnce);
    },
  };
}
