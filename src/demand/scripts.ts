import { redisScript } from '../lib/redis-script.ts';

/**
 * KEYS: demand, leases, lease owners, requesters. An owner entry is `<owner>|<score>`, so that a lease that ends without success puts
 * its asset back at the place it had. Scores are handled as text made by `%.0f`: Lua would shorten large numbers.
 * An asset is in demand or leased, never both; whatever takes it out of both takes its requester out too.
 */
const helpers = `
local demand, leases, owners, requesters = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local function ownerOf(id)
  local entry = redis.call('HGET', owners, id)
  if not entry then return nil end
  local bar = string.find(entry, '|', 1, true)
  return string.sub(entry, 1, bar - 1), string.sub(entry, bar + 1)
end
local function drop(id)
  redis.call('ZREM', leases, id)
  redis.call('HDEL', owners, id)
end
local function reclaim()
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', leases, '-inf', now, 'LIMIT', 0, 1000)) do
    local _, score = ownerOf(id)
    drop(id)
    if score then redis.call('ZADD', demand, 'LT', score, id) else redis.call('HDEL', requesters, id) end
  end
end
`;

/** ARGV: urgency base, slack, fresh after, limit, prefix of quotes, prefix of failures, requester or '', asset ids. Returns refused, settled ids. */
export const wantScript = redisScript(`${helpers}
reclaim()
local score = string.format('%.0f', ARGV[1] + now + ARGV[2])
local freshAfter, limit = tonumber(ARGV[3]), tonumber(ARGV[4])
local room = limit - redis.call('ZCARD', demand)
local answer = { 0 }
local function isSettled(id)
  local quote = redis.call('GETRANGE', ARGV[5] .. id, 0, 15)
  if quote ~= '' and tonumber(string.match(quote, '^%d+')) >= freshAfter then return true end
  return redis.call('EXISTS', ARGV[6] .. id) == 1
end
for i = 8, #ARGV do
  local id = ARGV[i]
  local owner, leasedScore = ownerOf(id)
  if isSettled(id) then
    answer[#answer + 1] = id
  elseif owner then
    if tonumber(score) < tonumber(leasedScore) then redis.call('HSET', owners, id, owner .. '|' .. score) end
  elseif redis.call('ZSCORE', demand, id) then
    redis.call('ZADD', demand, 'LT', score, id)
  elseif room > 0 then
    redis.call('ZADD', demand, score, id)
    if ARGV[7] ~= '' then redis.call('HSET', requesters, id, ARGV[7]) end
    room = room - 1
  else
    answer[1] = answer[1] + 1
  end
end
return answer`);

/** ARGV: owner, most ids, most bytes, lease in ms. Returns the leased ids, the most urgent first. */
export const leaseScript = redisScript(`${helpers}
reclaim()
local owner, maxIds, maxBytes = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local taken, bytes = {}, 0
local rows = redis.call('ZRANGE', demand, 0, maxIds - 1, 'WITHSCORES')
for i = 1, #rows, 2 do
  local id = rows[i]
  bytes = bytes + #id + 1
  if bytes > maxBytes then break end
  taken[#taken + 1] = id
  redis.call('HSET', owners, id, owner .. '|' .. string.format('%.0f', rows[i + 1]))
  redis.call('ZADD', leases, now + ARGV[4], id)
end
if #taken > 0 then redis.call('ZREM', demand, unpack(taken)) end
return taken`);

/** ARGV: owner, lease in ms, asset ids. */
export const renewScript = redisScript(`${helpers}
for i = 3, #ARGV do
  if ownerOf(ARGV[i]) == ARGV[1] then redis.call('ZADD', leases, 'XX', now + ARGV[2], ARGV[i]) end
end
return 1`);

/** ARGV: owner, asset ids. What another owner leased meanwhile stays with that owner. */
export const settleScript = redisScript(`${helpers}
for i = 2, #ARGV do
  local owner = ownerOf(ARGV[i])
  if owner == ARGV[1] then drop(ARGV[i]) end
  if not owner then redis.call('ZREM', demand, ARGV[i]) end
  if owner == ARGV[1] or not owner then redis.call('HDEL', requesters, ARGV[i]) end
end
return 1`);

/** ARGV: owner, asset ids. */
export const releaseScript = redisScript(`${helpers}
for i = 2, #ARGV do
  local owner, score = ownerOf(ARGV[i])
  if owner == ARGV[1] then
    drop(ARGV[i])
    redis.call('ZADD', demand, 'LT', score, ARGV[i])
  end
end
return 1`);
