import { monthLua } from './month-script.ts';

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
 *
 * The limit that counts, after the provider said 429: half of the one that counted before, once for all calls that were granted
 * before the cut, and never below a tenth; then a twentieth of the whole limit more in every minute (cut.at, cut.to). Being
 * never above the limit, it takes nothing from the proof. The month is in month-script.ts.
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

local function field(name) return tonumber(redis.call('HGET', state, name) or '') end

${monthLua}
local function intact(run, terms)
  return redis.call('ZSCORE', log, 'epoch:' .. run) and redis.call('HGET', state, 'epoch') == run
    and monthKept(terms.bounds) ~= nil
end

local function effective(now, limit)
  local at = field('cut.at')
  if at == nil then return limit end
  local grown = (field('cut.to') or limit) + math.max(1, math.floor(limit / 20)) * math.floor(math.max(0, now - at) / 60000)
  return math.min(limit, grown)
end

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

-- How long rank must wait, why, the spacing, and how long the month alone makes it wait.
local function verdict(now, rank, limit, window, month, credits)
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
  if rank > 2 then consider(field('m.want') or now, 'month') end
  local forMonth = monthWait(month, now, rank, credits)
  consider(now + forMonth, 'month')
  return math.ceil(wait), reason, pace, used, last, forMonth
end
`;

/** ARGV: now or '', grant id, rank, terms, window ms, call duration ms, patience ms, token for a rebuild, credits. */
export const acquireScript = `${common}
local now, run = time(ARGV[1]), runId()
local id, rank, terms, window = ARGV[2], tonumber(ARGV[3]), parseTerms(ARGV[4]), tonumber(ARGV[5])
local credits = tonumber(ARGV[9])

if not intact(run, terms) then
  local prefix = 'rebuild:' .. run .. ':'
  local start = exact(terms.bounds[monthAt(now, terms.bounds)])
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', log, '+inf', '+inf')) do
    if string.sub(member, 1, #prefix) == prefix then return { 'rebuild', member, start } end
  end
  redis.call('ZREMRANGEBYSCORE', log, '+inf', '+inf')
  redis.call('ZADD', log, '+inf', prefix .. ARGV[8])
  return { 'rebuild', prefix .. ARGV[8], start }
end

-- After a step back of Redis's clock, scores are further ahead than any call can last.
local horizon = exact(now + 60000)
for _, member in ipairs(redis.call('ZRANGEBYSCORE', log, '(' .. horizon, '(+inf')) do
  redis.call('ZADD', log, 'XX', horizon, member)
end
-- A month that has turned takes over calls that may count in it, so it is opened before old calls are forgotten.
local month = openMonth(now, terms)
for _, member in ipairs(redis.call('ZRANGEBYSCORE', log, '-inf', exact(now - window))) do
  redis.call('HDEL', state, 'c:' .. member)
end
redis.call('ZREMRANGEBYSCORE', log, '-inf', exact(now - window))

local limit = effective(now, terms.limit)
local wait, reason, pace, _, last, forMonth = verdict(now, rank, limit, window, month, credits)
if wait > 0 then
  local grace = math.min(250, math.max(20, pace / 2))
  if wait <= tonumber(ARGV[7]) then
    redis.call('HSET', state, 'want:' .. rank, exact(now + wait + grace))
  end
  if rank == 1 and forMonth > 0 then
    redis.call('HSET', state, 'm.want', exact(now + math.min(forMonth, 600000) + grace))
  end
  saveMonth(month)
  return { 'wait', exact(math.min(wait, 600000)), reason }
end
pay(month, now, id, rank, credits)
saveMonth(month)
redis.call('ZADD', log, exact(now + tonumber(ARGV[6])), id)
-- Somewhat behind, so that the time that callers take to come back does not add up to lost calls.
local paced = exact(math.min(now, math.max(last + pace, now - math.min(pace / 2, 200))))
redis.call('HSET', state, 'last', paced, 'lastId', id, 'prev', last == -math.huge and '' or exact(last))
redis.call('HDEL', state, 'want:' .. rank)
return { 'granted' }
`;

/**
 * ARGV: now or '', token, blocked for ms, terms, begin of the month (ms), its credits, limit and credits that the provider
 * told ('' for none), then triples of grant id, ms until its latest moment, credits. Answers 1 when it took effect.
 */
export const rebuildScript = `${common}
local now, run, token = time(ARGV[1]), runId(), ARGV[2]
if string.sub(token, 1, #run + 9) ~= 'rebuild:' .. run .. ':' then return 0 end
if not redis.call('ZSCORE', log, token) then return 0 end
if ARGV[7] ~= '' then redis.call('HSET', state, 'told.minute', ARGV[7]) end
if ARGV[8] ~= '' then redis.call('HSET', state, 'told.month', ARGV[8]) end
local terms = parseTerms(ARGV[4])
if exact(terms.bounds[monthAt(now, terms.bounds)]) ~= ARGV[5] then return 0 end
for i = 9, #ARGV, 3 do
  redis.call('ZADD', log, 'GT', exact(now + tonumber(ARGV[i + 1])), ARGV[i])
end
local blocked = math.max(field('blocked') or 0, now + tonumber(ARGV[3]))
-- What does not depend on the ledger survives the loss of the log alone.
local kept = redis.call('HMGET', state, 'told.minute', 'told.month', 'cut.at', 'cut.to', 'h.at', 'h.now', 'h.before')
local names = { 'told.minute', 'told.month', 'cut.at', 'cut.to', 'h.at', 'h.now', 'h.before' }
redis.call('DEL', state)
for i = 1, #names do
  if kept[i] then redis.call('HSET', state, names[i], kept[i]) end
end
redis.call('HSET', state, 'epoch', run, 'blocked', exact(blocked), 'm.start', ARGV[5], 'm.spent', ARGV[6])
for i = 9, #ARGV, 3 do redis.call('HSET', state, 'c:' .. ARGV[i], ARGV[i + 2] .. ':1') end
local month = openMonth(now, terms)
if month.credits > 0 then month[1] = month[1] / 2 end
saveMonth(month)
local newest = redis.call('ZRANGEBYSCORE', log, '-inf', '(+inf', 'WITHSCORES')
if #newest > 0 then redis.call('HSET', state, 'last', exact(math.min(now, tonumber(newest[#newest])))) end
redis.call('ZREMRANGEBYSCORE', log, '+inf', '+inf')
redis.call('ZADD', log, '+inf', 'epoch:' .. run)
return 1
`;

/**
 * ARGV: now or '', grant id, answered (1) or not (0), whether it cost nothing (1), whether the provider said 429 (1), terms, call duration ms.
 * An answered call was counted before now.
 */
export const settleScript = `${common}
local now, id, terms = time(ARGV[1]), ARGV[2], parseTerms(ARGV[6])
local score = tonumber(redis.call('ZSCORE', log, id) or '')
if ARGV[5] == '1' and score and score - tonumber(ARGV[7]) > (field('cut.at') or -1) then
  local least = math.max(1, math.ceil(terms.limit / 10))
  local cut = math.max(least, math.floor(effective(now, terms.limit) / 2))
  redis.call('HSET', state, 'cut.at', exact(now), 'cut.to', exact(cut))
end
if ARGV[4] == '1' then giveBack(id) end
if score and ARGV[3] == '1' then redis.call('ZADD', log, 'XX', exact(math.min(score, now)), id) end
return 1
`;

/** ARGV: grant id. The call was not made: neither the window nor the spacing has anything to remember of it. */
export const releaseScript = `${common}
if redis.call('HGET', state, 'lastId') == ARGV[1] then
  redis.call('HSET', state, 'last', redis.call('HGET', state, 'prev'), 'lastId', '')
end
giveBack(ARGV[1])
return redis.call('ZREM', log, ARGV[1])
`;

/** ARGV: now or '', ms. */
export const blockScript = `${common}
redis.call('HSET', state, 'blocked', exact(math.max(field('blocked') or 0, time(ARGV[1]) + tonumber(ARGV[2]))))
return 1
`;

/**
 * ARGV: now or '', terms, limit and credits of a month that the provider told ('' for none), its own count of this month
 * ('' when not told), ms since it was asked. Answers the credits that others have spent with the same key, or `lost`.
 */
export const tellScript = `${common}
local now = time(ARGV[1])
if not intact(runId(), parseTerms(ARGV[2])) then return 'lost' end
if ARGV[3] ~= '' then redis.call('HSET', state, 'told.minute', ARGV[3]) end
if ARGV[4] ~= '' then redis.call('HSET', state, 'told.month', ARGV[4]) end
local month, used, others = openMonth(now, parseTerms(ARGV[2])), tonumber(ARGV[5]), 0
local asked = now - tonumber(ARGV[6])
-- Near the turn nobody knows which month the provider's count is of.
if used and asked > month.start + 600000 then
  -- Calls that were not over when it was asked may or may not be in its count.
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', log, exact(asked), '(+inf')) do used = used + creditsOf(id) end
  others = math.max(0, math.ceil(used) - month.spent)
  month.spent = month.spent + others
end
saveMonth(month)
return exact(others)
`;

/** ARGV: now or '', terms, window ms. Changes nothing. */
export const statusScript = `${common}
local now, terms = time(ARGV[1]), parseTerms(ARGV[2])
if not intact(runId(), terms) then return { 0 } end
local month, limit = openMonth(now, terms), effective(now, terms.limit)
local wait, _, pace, used = verdict(now, 1, limit, tonumber(ARGV[3]), month, 1)
local blocked = math.max(0, (field('blocked') or now) - now)
local reply = { 1, used, exact(wait), exact(math.ceil(pace)), exact(blocked), limit, terms.limit, month.credits, month.spent, exact(month.start),
  exact(month.stop), string.format('%.3f', hourly(now)), exact(now) }
if month.credits > 0 then
  reply[#reply + 1] = string.format('%.3f', month[1])
  reply[#reply + 1] = string.format('%.3f', math.max(0, vaultOf(month)) * hour / math.max(1, month.stop - now))
  reply[#reply + 1] = string.format('%.3f', math.max(0, month[1] + month[2] + month[3] + month[4]))
  for rank = 2, 4 do reply[#reply + 1] = string.format('%.3f', math.max(0, month[rank])) end
end
return reply
`;
