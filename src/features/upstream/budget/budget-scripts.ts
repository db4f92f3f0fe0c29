/**
 * The month in Lua: how many credits each urgency may have now. Part of every script of the budget.
 *
 * Of the month's C credits, S are spent; the rest is in an *unallocated pool* V, in the *reserve* of interactive calls and in one *bucket* for
 * each less urgent kind: C = S + V + reserve + buckets. The pool releases V * dt / (time left) in every dt, which is a straight
 * line to zero at the month's end; what does not fit elsewhere stays in the pool and makes the line steeper. Calls are paid from
 * the reserve and the buckets only.
 *
 * - *Never exceeded.* A grant needs S + its credits <= C, and S counts every call that the provider can have counted in
 *   its month: those granted in it, and those granted earlier that were not over 30 s before it started (as long as clocks agree
 *   to 30 s; so a call near the turn counts in both months).
 * - *Never dry.* V falls only along its line, so V(t) >= V(t0) * (end - t) / (end - t0): until the end, credits are released at
 *   the rate V(t0) / (end - t0) at least, and an interactive call may have all of those except the streams' part. At the start V
 *   is C less the reserve (two days' worth) and calls at the turn (a twentieth at most), so an interactive call that finds
 *   everything spent waits for 1 / (0.7 * 0.88) of the even pace at worst.
 *
 * Near the turn, when a call counts in both months, only interactive calls are granted, for a twentieth of the credits at most.
 *
 * The reserve takes 40 % of what is released while it is not full; full is two days' worth, or a quarter of what is left near
 * the end. The buckets share the rest (streams 50 %, warming 35 %, backfill 15 %) and pass on what does not fit. An interactive
 * call pays from the reserve, then from the buckets, the least urgent first. When it finds nothing, warming and backfill wait
 * until it has been served.
 *
 * Fields of the state: m.start (begin of the month that S is of), m.spent, m.at (of the last release), m.1 (reserve), m.2 to
 * m.4 (buckets), m.want; c:<grant id> = `<credits>:<rank>`, 0 credits when none can be given back; told.minute and told.month: limits
 * reported by the provider; h.at, h.now, h.before: credits of this hour and the one before.
 */
const monthLua = `
local guard, day, hour = 30000, 86400000, 3600000
local weights = { 0, 0.5, 0.35, 0.15 }
local reserveShare, minBucket, turnShare = 0.4, 10, 0.05

local function number(text) return tonumber(text or '') end

local function agreed(given, assumed, reported)
  if reported == nil or (given == 0 and assumed == 0) then return given end
  if assumed == 1 then return reported end
  return math.min(given, reported)
end

-- limit, whether it is assumed, credits of a month (0: none), whether they are, then four begins of months.
local function parseTerms(text)
  local parts = {}
  for part in string.gmatch(text, '[^,]+') do parts[#parts + 1] = tonumber(part) end
  local reported = redis.call('HMGET', state, 'told.minute', 'told.month')
  return {
    limit = agreed(parts[1], parts[2], number(reported[1])),
    credits = agreed(parts[3], parts[4], number(reported[2])),
    bounds = { parts[5], parts[6], parts[7], parts[8] },
  }
end

local function monthAt(now, bounds)
  for i = 1, #bounds - 1 do
    if bounds[i] <= now - guard and now - guard < bounds[i + 1] then return i end
  end
  return 1
end

local function monthKept(bounds)
  local start = number(redis.call('HGET', state, 'm.start'))
  for i = 1, #bounds - 1 do
    if bounds[i] == start then return i end
  end
end

local function creditsOf(id)
  local credits, rank = string.match(redis.call('HGET', state, 'c:' .. id) or '', '^(%d+):(%d)$')
  return tonumber(credits or 0), tonumber(rank or 1)
end

-- Credits of calls that the provider may have counted in the month that begins at this moment, though they were granted before.
local function overlapping(start)
  local sum = 0
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', log, exact(start - guard), '(+inf')) do sum = sum + creditsOf(id) end
  return sum
end

local function capsOf(m, now)
  local span = math.max(1, m.stop - now)
  local caps = { math.max(0, m.left * math.min(0.25, 2 * day / span)) }
  for rank = 2, 4 do caps[rank] = math.max(minBucket, weights[rank] * math.max(0, m.left) * hour / span) end
  return caps
end

local function unallocatedOf(m) return m.left - m[1] - m[2] - m[3] - m[4] end

local function distribute(m, amount)
  local caps, share = m.caps, m[1] < m.caps[1] and reserveShare or 0
  local kept = math.min(caps[1], m[1] + amount * share)
  local rest = amount - (kept - m[1])
  m[1] = kept
  local over = 0
  for rank = 2, 4 do
    m[rank] = m[rank] + rest * weights[rank]
    if m[rank] > caps[rank] then
      over = over + m[rank] - caps[rank]
      m[rank] = caps[rank]
    end
  end
  for rank = 2, 4 do
    local more = math.min(over, caps[rank] - m[rank])
    m[rank], over = m[rank] + more, over - more
  end
  m[1] = m[1] + math.max(0, math.min(over, caps[1] - m[1]))
end

-- The month as it is now. Writes nothing; the state must be intact.
local function openMonth(now, terms)
  local kept = monthKept(terms.bounds)
  local index = math.max(kept, monthAt(now, terms.bounds))
  local m = { start = terms.bounds[index], stop = terms.bounds[index + 1], credits = terms.credits, turned = index > kept }
  if m.turned then
    m.spent = overlapping(m.start)
  else
    m.spent = number(redis.call('HGET', state, 'm.spent')) or 0
  end
  if m.credits == 0 then return m end
  m.left = m.credits - m.spent
  m.caps = capsOf(m, now)
  local from = number(redis.call('HGET', state, 'm.at'))
  if m.turned or from == nil then
    m[1], from = m.caps[1], now
    for rank = 2, 4 do m[rank] = math.max(0, math.min(minBucket, m.left / 100)) end
  else
    for rank = 1, 4 do
      m[rank] = math.min(m.caps[rank], number(redis.call('HGET', state, 'm.' .. rank)) or 0)
    end
  end
  for rank = 4, 1, -1 do
    -- The limit fell, or others have spent with the same key.
    local missing = math.min(math.max(0, -unallocatedOf(m)), math.max(0, m[rank]))
    m[rank] = m[rank] - missing
  end
  local unallocated = unallocatedOf(m)
  if unallocated > 0 and now > from then distribute(m, unallocated * math.min(1, (now - from) / math.max(1, m.stop - from))) end
  m.at = math.max(now, from)
  return m
end

-- The credits of a call can be given back no more; whose call it was is known for as long as it counts.
local function keepRank(id)
  local credits, rank = creditsOf(id)
  if redis.call('HEXISTS', state, 'c:' .. id) == 1 then redis.call('HSET', state, 'c:' .. id, '0:' .. rank) end
  return credits, rank
end

local function saveMonth(m)
  if m.turned then
    for _, id in ipairs(redis.call('ZRANGEBYSCORE', log, '-inf', '(' .. exact(m.start - guard))) do keepRank(id) end
  end
  redis.call('HSET', state, 'm.start', exact(m.start), 'm.spent', exact(m.spent))
  if m.credits == 0 then
    redis.call('HDEL', state, 'm.at', 'm.want')
    return
  end
  redis.call('HSET', state, 'm.at', exact(m.at))
  for rank = 1, 4 do redis.call('HSET', state, 'm.' .. rank, string.format('%.6f', m[rank])) end
end

-- How long a call of this rank must wait for its credits; they are there by the end of the month at the latest, being the next one's.
local function monthWait(m, now, rank, credits)
  if m.credits == 0 then return 0 end
  local turn = m.stop + guard - now
  if m.spent + credits > m.credits then return turn end
  if turn <= 2 * guard then
    -- What is spent at the turn counts in both months: only users may, and not much.
    local both = rank == 1 and overlapping(m.stop) + credits <= turnShare * m.credits
    return both and 0 or turn
  end
  local have, need = m[rank], credits
  if rank == 1 then have = m[1] + m[2] + m[3] + m[4] else need = math.min(credits, m.caps[rank]) end
  if have >= need - 0.000001 then return 0 end
  local share = 1 - (1 - reserveShare) * weights[2]
  if rank > 1 then share = weights[rank] * (m[1] < m.caps[1] and 1 - reserveShare or 1) end
  local rate = math.max(0, unallocatedOf(m)) * share / math.max(1, m.stop - now)
  if rate == 0 then return turn end
  return math.max(1, math.min(turn, (need - have) / rate))
end

local function pay(m, now, id, rank, credits)
  m.spent = m.spent + credits
  redis.call('HSET', state, 'c:' .. id, exact(credits) .. ':' .. rank)
  local at = math.floor(now / hour)
  local before = number(redis.call('HGET', state, 'h.at'))
  if before ~= at then
    local last = before == at - 1 and redis.call('HGET', state, 'h.now') or '0'
    redis.call('HSET', state, 'h.at', exact(at), 'h.now', '0', 'h.before', last)
  end
  redis.call('HINCRBY', state, 'h.now', credits)
  if m.credits == 0 then return end
  m.left = m.left - credits
  if rank > 1 then
    m[rank] = m[rank] - credits
    return
  end
  redis.call('HDEL', state, 'm.want')
  for _, from in ipairs({ 1, 4, 3, 2 }) do
    local part = math.max(0, math.min(credits, m[from]))
    m[from], credits = m[from] - part, credits - part
  end
  m[1] = m[1] - credits
end

-- The credits of a call that costs none go back to where they came from, once.
local function giveBack(id)
  local credits, rank = keepRank(id)
  if credits == 0 then return end
  redis.call('HINCRBY', state, 'm.spent', -credits)
  redis.call('HINCRBY', state, 'h.now', -credits)
  redis.call('HINCRBYFLOAT', state, 'm.' .. rank, credits)
end

-- Credits a hour at the rate of the last sixty minutes.
local function hourly(now)
  local at, known = math.floor(now / hour), number(redis.call('HGET', state, 'h.at'))
  local current, before = number(redis.call('HGET', state, 'h.now')) or 0, number(redis.call('HGET', state, 'h.before')) or 0
  if known == at - 1 then current, before = 0, current elseif known ~= at then current, before = 0, 0 end
  return math.max(0, current + before * (1 - (now % hour) / hour))
end
`;

/** Most grants to users that the status forecasts. */
const maxForecastGrants = 40;

/**
 * The Lua that decides, atomically and by Redis's clock.
 *
 * Keys: a sorted set, the *log* (member = grant id, score = the latest moment in which the upstream may have counted the
 * call), and a hash, the *state* (last, lastId: when and to whom the last grant was made; prev: what last was before; blocked: nothing before then; want:N: a waiter of
 * rank N is to be served first until then; u.peak, u.at: most calls of users in a window lately, and when; epoch).
 *
 * The epoch says that the log is complete. It is the run id of the Redis process, held in both keys, so that the loss of
 * either, of both (FLUSHALL) and a restart, which may have lost the tail of the append-only file, all make it invalid. Then a
 * *rebuild token* takes its place, and nothing is granted until a rebuild that started after that token was issued has merged
 * the ledger. A rebuild with an older token, which may have read the ledger too early, does nothing.
 *
 * Pacing. With r calls left in the window and known moments e1 <= e2 <= ... at which used ones become free, the m-th next
 * call can be made at e(m-r) at the earliest. The spacing is the smallest s for which calls at last + m*s never run
 * dry, and at least window / limit: a crowd's calls are spread over what is left of the window, and in a steady state
 * the spacing is window / limit. Callers that users wait for (rank 1) take half of the window without pacing, if others have not
 * taken more than the other half.
 *
 * Background calls do not take that half: warming and backfill (ranks 3 and 4) get a call only if the calls that are not for
 * users (rank 2 included) leave the *headroom* free. The headroom is half of the limit or, if more, what users took at once in
 * the last quarter of an hour, and at most nine tenths. A tenth of the limit belongs to background calls in any case, so that
 * streams do not starve them.
 *
 * The effective limit after a 429 from the provider: half of the previous one, once for all calls that were granted before the
 * cut, and never below a tenth; then it rises by a twentieth of the whole limit every minute (cut.at, cut.to). Being never
 * above the limit, it does not affect the proof. The month is above.
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

-- The calls that count: when they become free, earliest first; the same of those that were not for users, and of
-- those of ranks 3 and 4; and the number of those for users. A call that still runs is taken to end now: a hint for the wait,
-- never for the count.
local function counted(now, window)
  local rows = redis.call('ZRANGEBYSCORE', log, '(' .. exact(now - window), '(+inf', 'WITHSCORES')
  local calls, names = { free = {}, others = {}, least = {}, users = 0 }, {}
  for i = 1, #rows, 2 do names[#names + 1] = 'c:' .. rows[i] end
  for from = 1, #names, 1000 do
    local texts = redis.call('HMGET', state, unpack(names, from, math.min(from + 999, #names)))
    for i, text in ipairs(texts) do
      local moment = math.min(tonumber(rows[2 * (from + i - 1)]), now) + window
      local rank = number(string.match(text or '', ':(%d)$')) or 1
      calls.free[#calls.free + 1] = moment
      if rank == 1 then calls.users = calls.users + 1 else calls.others[#calls.others + 1] = moment end
      if rank > 2 then calls.least[#calls.least + 1] = moment end
    end
  end
  return calls
end

-- Of those that become free after a moment, the first is at this place.
local function spacing(last, free, limit, window, first)
  local pace, left = window / limit, limit - (#free - first + 1)
  for i = first, #free do
    local place = left + i - first + 1
    if place >= 1 then pace = math.max(pace, (math.min(free[i], last + window) - last) / place) end
  end
  return pace
end

local shares = { 1, 1, 0.9, 0.75 }
local burstLasts = 900000

local function halfOf(limit) return math.floor(limit / 2) end

-- Users have taken their half of the window, or others, streams among them, more than the other half.
local function isPaced(users, others, limit) return users >= halfOf(limit) or others > limit - halfOf(limit) end

-- Calls of a window that are left for ranks 3 and 4, and what is theirs beside any number of streams.
local function spareOf(now, limit)
  local burst = now - (field('u.at') or -math.huge) < burstLasts and field('u.peak') or 0
  local headroom = math.min(math.max(halfOf(limit), burst), math.floor(limit * 0.9))
  return math.max(1, limit - headroom), math.max(1, math.floor(limit / 10))
end

local function noteBurst(now, users, limit)
  if users <= halfOf(limit) then return end
  local isOver = now - (field('u.at') or -math.huge) >= burstLasts
  if isOver or users >= (field('u.peak') or 0) then
    redis.call('HSET', state, 'u.peak', exact(users), 'u.at', exact(now))
  end
end

-- How long rank must wait, why, the spacing, the calls that count, the last grant, and how long the month alone makes it wait.
local function verdict(now, rank, limit, window, month, credits)
  local calls = counted(now, window)
  local free = calls.free
  local used = #free
  local cap = math.max(1, math.floor(limit * shares[rank]))
  local last = math.min(field('last') or -math.huge, now)
  local pace = last == -math.huge and window / limit or spacing(last, free, limit, window, 1)
  local wait, reason = 0, ''
  local function consider(moment, why)
    if moment - now > wait then wait, reason = moment - now, why end
  end
  if used >= cap then consider(math.max(free[used - cap + 1], now + 1), 'window') end
  if rank > 1 or isPaced(calls.users, #calls.others, limit) then consider(last + pace, 'paced') end
  if rank > 2 then
    local spare, own = spareOf(now, limit)
    if rank == 4 then spare = math.max(1, math.floor(spare * 0.8)) end
    local others, least = calls.others, calls.least
    if #others >= spare and #least >= own then
      consider(math.min(others[#others - spare + 1], least[#least - own + 1]), 'paced')
    end
    -- About evenly, so that places become free one after the other for users who take more than the headroom.
    if #least > 0 then consider(least[#least] - window + 0.8 * window / spare, 'paced') end
  end
  for other = 1, rank - 1 do consider(field('want:' .. other) or now, 'paced') end
  consider(math.min(field('blocked') or now, now + 600000), 'blocked')
  if rank > 2 then consider(field('m.want') or now, 'month') end
  local forMonth = monthWait(month, now, rank, credits)
  consider(now + forMonth, 'month')
  return math.ceil(wait), reason, pace, calls, last, forMonth
end
`;

/** ARGV: now or '', grant id, rank, terms, window ms, call duration ms, patience ms, token for a rebuild, credits. */
const acquire = `${common}
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
local wait, reason, pace, calls, last, forMonth = verdict(now, rank, limit, window, month, credits)
if wait > 0 then
  local grace = math.min(250, math.max(20, pace / 2))
  local patience = tonumber(ARGV[7])
  -- A job that a user waits for goes back to its queue until then, and comes again a moment later.
  if rank == 1 and wait > patience and reason ~= 'month' then patience, grace = math.max(patience, 60000), 500 end
  if wait <= patience then
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
if rank == 1 then noteBurst(now, calls.users + 1, limit) end
return { 'granted' }
`;

/**
 * ARGV: now or '', token, blocked for ms, terms, start of the month (ms), its credits, limit and credits reported by the
 * provider ('' for none), then triples of grant id, ms until its latest time, credits. Returns 1 when it took effect.
 */
const rebuild = `${common}
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
local names = { 'told.minute', 'told.month', 'cut.at', 'cut.to', 'h.at', 'h.now', 'h.before', 'u.peak', 'u.at' }
local kept = redis.call('HMGET', state, unpack(names))
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
const settle = `${common}
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

/** ARGV: grant id. The call was not made: it is removed from the window and the spacing. */
const release = `${common}
if redis.call('HGET', state, 'lastId') == ARGV[1] then
  redis.call('HSET', state, 'last', redis.call('HGET', state, 'prev'), 'lastId', '')
end
giveBack(ARGV[1])
redis.call('HDEL', state, 'c:' .. ARGV[1])
return redis.call('ZREM', log, ARGV[1])
`;

/** ARGV: now or '', ms. */
const block = `${common}
redis.call('HSET', state, 'blocked', exact(math.max(field('blocked') or 0, time(ARGV[1]) + tonumber(ARGV[2]))))
return 1
`;

/**
 * ARGV: now or '', terms, limit and credits of a month as reported by the provider ('' for none), its own count of this month
 * ('' when not reported), ms since it was asked. Returns the credits that others have spent with the same key, or `lost`.
 */
const report = `${common}
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

/**
 * ARGV: now or '', terms, window ms. Changes nothing. Tells too when the next calls of users can be granted, one after the other, if
 * nobody else comes.
 */
const status = `${common}
local now, terms = time(ARGV[1]), parseTerms(ARGV[2])
if not intact(runId(), terms) then return { 0 } end
local month, limit, window = openMonth(now, terms), effective(now, terms.limit), tonumber(ARGV[3])
local wait, _, pace, calls, last = verdict(now, 1, limit, window, month, 1)
local spare, own = spareOf(now, limit)
local left = math.max(0, math.max(spare - #calls.others, own - #calls.least))

local free, users, first, used = calls.free, calls.users, 1, #calls.free
local waits, at = { exact(wait) }, now + wait
for count = 2, ${maxForecastGrants} do
  free[#free + 1], users, last = at + window, users + 1, at
  while free[first] <= at do first = first + 1 end
  local over = #free - first + 1 - limit
  if over >= 0 then at = math.max(at, free[first + over]) end
  if isPaced(users, #calls.others, limit) then at = math.max(at, last + spacing(last, free, limit, window, first)) end
  at = math.max(at, now + monthWait(month, now, 1, count))
  waits[count] = exact(math.ceil(at - now))
end

local blocked = math.max(0, (field('blocked') or now) - now)
local reply = { 1, table.concat(waits, ','), used, exact(wait), exact(math.ceil(pace)), exact(blocked), limit, terms.limit, spare,
  math.min(left, math.max(0, math.floor(limit * shares[3]) - used)), month.credits, month.spent, exact(month.start),
  exact(month.stop), string.format('%.3f', hourly(now)), exact(now) }
if month.credits > 0 then
  reply[#reply + 1] = string.format('%.3f', month[1])
  reply[#reply + 1] = string.format('%.3f', math.max(0, unallocatedOf(month)) * hour / math.max(1, month.stop - now))
  reply[#reply + 1] = string.format('%.3f', math.max(0, month[1] + month[2] + month[3] + month[4]))
  for rank = 2, 4 do reply[#reply + 1] = string.format('%.3f', math.max(0, month[rank])) end
end
return reply
`;

/** The operations of a budget, each atomic. */
export const budgetScripts = { acquire, rebuild, settle, release, block, report, status };
