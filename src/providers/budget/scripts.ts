/**
 * The Lua that decides, atomically and by Redis's clock.
 *
 * Keys: a sorted set, the *log* (member = grant id, score = the latest moment in which the upstream may have counted the
 * call), and a hash, the *state* (last, lastId: when and to whom the last grant was made; prev: what last was before; blocked: nothing before then; want:N: a waiter of
 * rank N is to be served first until then; epoch).
 *
 * The epoch says that the log is complete. It is the run id of the Redis process, held in both keys, so that the loss of
 * either, of both (FLUSHALL) and a restart, which may have lost the tail of the append-only file, all make it invalid.
 * Then a *rebuild token* takes its place, and nothing is granted until a rebuild that began after that token was issued
 * has merged the ledger. A rebuild with an older token, whose reading of the ledger may be too old, does nothing.
 *
 * Pacing. With r calls left in the window and known moments e1 <= e2 <= ... in which used ones come free, the m-th next
 * call can be made at e(m-r) at the earliest. The spacing is the smallest s for which calls at last + m*s never run
 * dry, and at least window / limit: a crowd's calls are spread over what is left of the window, and in a steady state
 * the spacing is window / limit. A caller that a user waits for (rank 1) takes half of the window without pacing.
 */
const common = `
local log, state = KEYS[1], KEYS[2]

local function time(fake)
  if fake ~= '' then return tonumber(fake) end
  local t = redis.call('TIME')
  return tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
end

local function exact(x) return string.format('%.0f', x) end

-- Providers of managed Redis may hide the run id; then only the loss of keys is noticed.
local function runId()
  local info = redis.pcall('INFO', 'server')
  return type(info) == 'string' and string.match(info, 'run_id:(%w+)') or 'hidden'
end

local function intact(run)
  return redis.call('ZSCORE', log, 'epoch:' .. run) and redis.call('HGET', state, 'epoch') == run
end

local function field(name) return tonumber(redis.call('HGET', state, name) or '') end

-- The moments in which used calls come free, earliest first. A call that still runs is taken to end now: a hint for the
-- wait, never for the count.
local function expiries(now, window)
  local rows = redis.call('ZRANGEBYSCORE', log, '(' .. exact(now - window), '(+inf', 'WITHSCORES')
  local free = {}
  for i = 2, #rows, 2 do free[#free + 1] = math.min(tonumber(rows[i]), now) + window end
  return free
end

local function spacing(now, last, free, limit, window)
  local pace, left = window / limit, limit - #free
  for i = 1, #free do
    if left + i >= 1 then pace = math.max(pace, (math.min(free[i], last + window) - last) / (left + i)) end
  end
  return pace
end

local shares = { 1, 1, 0.9, 0.75 }

-- How long rank must wait, why, and the spacing.
local function verdict(now, rank, limit, window)
  local free = expiries(now, window)
  local used = #free
  local cap = math.max(1, math.floor(limit * shares[rank]))
  local last = math.min(field('last') or -math.huge, now)
  local pace = last == -math.huge and window / limit or spacing(now, last, free, limit, window)
  local wait, reason = 0, ''
  local function consider(moment, why)
    if moment - now > wait then wait, reason = moment - now, why end
  end
  if used >= cap then consider(math.max(free[used - cap + 1], now + 1), 'window') end
  if rank > 1 or used >= math.floor(limit / 2) then consider(last + pace, 'paced') end
  for other = 1, rank - 1 do consider(field('want:' .. other) or now, 'paced') end
  consider(math.min(field('blocked') or now, now + 600000), 'blocked')
  return math.ceil(wait), reason, pace, used, last
end
`;

/** ARGV: now or '', grant id, rank, limit, window ms, call duration ms, patience ms, token for a rebuild. */
export const acquireScript = `${common}
local now, run = time(ARGV[1]), runId()
local id, rank, limit, window = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])

if not intact(run) then
  local prefix = 'rebuild:' .. run .. ':'
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', log, '+inf', '+inf')) do
    if string.sub(member, 1, #prefix) == prefix then return { 'rebuild', member } end
  end
  redis.call('ZREMRANGEBYSCORE', log, '+inf', '+inf')
  redis.call('ZADD', log, '+inf', prefix .. ARGV[8])
  return { 'rebuild', prefix .. ARGV[8] }
end

-- After a step back of Redis's clock, scores are further ahead than any call can last.
local horizon = exact(now + 60000)
for _, member in ipairs(redis.call('ZRANGEBYSCORE', log, '(' .. horizon, '(+inf')) do
  redis.call('ZADD', log, 'XX', horizon, member)
end
redis.call('ZREMRANGEBYSCORE', log, '-inf', exact(now - window))

local wait, reason, pace, _, last = verdict(now, rank, limit, window)
if wait > 0 then
  if wait <= tonumber(ARGV[7]) then
    local grace = math.min(250, math.max(20, pace / 2))
    redis.call('HSET', state, 'want:' .. rank, exact(now + wait + grace))
  end
  return { 'wait', exact(wait), reason }
end
redis.call('ZADD', log, exact(now + tonumber(ARGV[6])), id)
-- Somewhat behind, so that the time that callers take to come back does not add up to lost calls.
local paced = exact(math.min(now, math.max(last + pace, now - math.min(pace / 2, 200))))
redis.call('HSET', state, 'last', paced, 'lastId', id, 'prev', last == -math.huge and '' or exact(last))
redis.call('HDEL', state, 'want:' .. rank)
return { 'granted' }
`;

/** ARGV: now or '', token, blocked for ms, then pairs of grant id and ms until its latest moment. Answers 1 when it took effect. */
export const rebuildScript = `${common}
local now, run, token = time(ARGV[1]), runId(), ARGV[2]
if string.sub(token, 1, #run + 9) ~= 'rebuild:' .. run .. ':' then return 0 end
if not redis.call('ZSCORE', log, token) then return 0 end
for i = 4, #ARGV, 2 do
  redis.call('ZADD', log, 'GT', exact(now + tonumber(ARGV[i + 1])), ARGV[i])
end
local blocked = math.max(field('blocked') or 0, now + tonumber(ARGV[3]))
redis.call('DEL', state)
redis.call('HSET', state, 'epoch', run, 'blocked', exact(blocked))
local newest = redis.call('ZRANGEBYSCORE', log, '-inf', '(+inf', 'WITHSCORES')
if #newest > 0 then redis.call('HSET', state, 'last', exact(math.min(now, tonumber(newest[#newest])))) end
redis.call('ZREMRANGEBYSCORE', log, '+inf', '+inf')
redis.call('ZADD', log, '+inf', 'epoch:' .. run)
return 1
`;

/** ARGV: now or '', grant id. The call was answered, hence counted before now. */
export const settleScript = `${common}
local score = redis.call('ZSCORE', log, ARGV[2])
if score then
  redis.call('ZADD', log, 'XX', exact(math.min(tonumber(score), time(ARGV[1]))), ARGV[2])
end
return 1
`;

/** ARGV: grant id. The call was not made: neither the window nor the spacing has anything to remember of it. */
export const releaseScript = `${common}
if redis.call('HGET', state, 'lastId') == ARGV[1] then
  redis.call('HSET', state, 'last', redis.call('HGET', state, 'prev'), 'lastId', '')
end
return redis.call('ZREM', log, ARGV[1])
`;

/** ARGV: now or '', ms. */
export const blockScript = `${common}
redis.call('HSET', state, 'blocked', exact(math.max(field('blocked') or 0, time(ARGV[1]) + tonumber(ARGV[2]))))
return 1
`;

/** ARGV: now or '', limit, window ms. Changes nothing. */
export const statusScript = `${common}
local now = time(ARGV[1])
local wait, _, pace, used = verdict(now, 1, tonumber(ARGV[2]), tonumber(ARGV[3]))
local blocked = math.max(0, (field('blocked') or now) - now)
return { intact(runId()) and 1 or 0, used, exact(wait), exact(math.ceil(pace)), exact(blocked) }
`;
