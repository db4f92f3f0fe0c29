/**
 * The month in Lua: how many credits each urgency may have now. Part of every script of the budget.
 *
 * Of the month's C credits, S are spent; the rest lies in a *vault* V, in the *reserve* of interactive calls and in one *purse* for
 * each less urgent kind: C = S + V + reserve + purses. The vault releases V * dt / (time left) in every dt, which is a straight
 * line to zero at the month's end; what finds no room stays in the vault and makes the line steeper. Calls are paid from
 * the reserve and the purses only.
 *
 * - *Never exceeded.* A grant needs S + its credits <= C, and S counts every call that the provider can have counted in
 *   its month: those granted in it, and those granted before that were not over 30 s before it began (as long as clocks agree to
 *   30 s; so a call near the turn counts in both months).
 * - *Never dry.* V falls by its own line and nothing else, so V(t) >= V(t0) * (end - t) / (end - t0): until the end
 *   credits are released at the rate V(t0) / (end - t0) at least, and of those an interactive call may have all but the
 *   streams' part. At the begin V is C less the reserve (two days' worth) and calls at the turn (a twentieth at most), so an
 *   interactive call that finds everything spent waits for 1 / (0.7 * 0.88) of the even pace at worst.
 *
 * Near the turn, when a call counts in both months, only interactive calls are granted, for a twentieth of the credits at most.
 *
 * The reserve takes 40 % of what is released while it is not full; full is two days' worth, or a quarter of what is left near
 * the end. The purses share the others (streams 50 %, warming 35 %, backfill 15 %) and hand on what they have no room for. An
 * interactive call pays from the reserve, then from the purses, the least urgent first. When it finds nothing, warming and
 * backfill wait until it has been served.
 *
 * Fields of the state: m.start (begin of the month that S is of), m.spent, m.at (of the last release), m.1 (reserve), m.2 to
 * m.4 (purses), m.want; c:<grant id> = `<credits>:<rank>`, for as long as the credits can be given back; told.minute and told.month: limits
 * that the provider told; h.at, h.now, h.before: credits of this hour and the one before.
 */
export const monthLua = `
local guard, day, hour = 30000, 86400000, 3600000
local weights = { 0, 0.5, 0.35, 0.15 }
local reserveShare, leastPurse, turnShare = 0.4, 10, 0.05

local function number(text) return tonumber(text or '') end

local function agreed(given, assumed, told)
  if told == nil or (given == 0 and assumed == 0) then return given end
  if assumed == 1 then return told end
  return math.min(given, told)
end

-- limit, whether it is assumed, credits of a month (0: none), whether they are, then four begins of months.
local function parseTerms(text)
  local parts = {}
  for part in string.gmatch(text, '[^,]+') do parts[#parts + 1] = tonumber(part) end
  local told = redis.call('HMGET', state, 'told.minute', 'told.month')
  return {
    limit = agreed(parts[1], parts[2], number(told[1])),
    credits = agreed(parts[3], parts[4], number(told[2])),
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
local function overlapping(begin)
  local sum = 0
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', log, exact(begin - guard), '(+inf')) do sum = sum + creditsOf(id) end
  return sum
end

local function capsOf(m, now)
  local span = math.max(1, m.stop - now)
  local caps = { math.max(0, m.left * math.min(0.25, 2 * day / span)) }
  for rank = 2, 4 do caps[rank] = math.max(leastPurse, weights[rank] * math.max(0, m.left) * hour / span) end
  return caps
end

local function vaultOf(m) return m.left - m[1] - m[2] - m[3] - m[4] end

local function pour(m, amount)
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
    for rank = 2, 4 do m[rank] = math.max(0, math.min(leastPurse, m.left / 100)) end
  else
    for rank = 1, 4 do
      m[rank] = math.min(m.caps[rank], number(redis.call('HGET', state, 'm.' .. rank)) or 0)
    end
  end
  for rank = 4, 1, -1 do
    -- The limit fell, or others have spent with the same key.
    local missing = math.min(math.max(0, -vaultOf(m)), math.max(0, m[rank]))
    m[rank] = m[rank] - missing
  end
  local vault = vaultOf(m)
  if vault > 0 and now > from then pour(m, vault * math.min(1, (now - from) / math.max(1, m.stop - from))) end
  m.at = math.max(now, from)
  return m
end

local function saveMonth(m)
  if m.turned then
    for _, id in ipairs(redis.call('ZRANGEBYSCORE', log, '-inf', '(' .. exact(m.start - guard))) do
      redis.call('HDEL', state, 'c:' .. id)
    end
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
  local rate = math.max(0, vaultOf(m)) * share / math.max(1, m.stop - now)
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
  local credits, rank = creditsOf(id)
  redis.call('HDEL', state, 'c:' .. id)
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
