-- Hands the drain what it may send now: due retries return to their streams, tokens are counted, and as many deliveries
-- are claimed as there are tokens, high before normal before low. One step, so no token is taken for nothing.
--
-- KEYS  lease, retry, pace, lane hold, destination hold, high, normal, low
-- ARGV  owner, lease in ms, most to hand out, calls under way, limit in calls per second, 1 when Attentive's own figure
--       may only lower it, share of the limit to use, failures in a row after which one call at a time goes out, group,
--       consumer
-- Returns  {'lost'} | {'held', ms} |
--          {'ok', {{stream number, entry id, payload}…}, ms to the next token, ms to the next retry or -1, and when
--           there was nothing: last id of each stream}
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return {'lost'} end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
local held = math.max(redis.call('PTTL', KEYS[4]), redis.call('PTTL', KEYS[5]))
if held > 0 then return {'held', held} end

local most, under_way = tonumber(ARGV[3]), tonumber(ARGV[4])
local time = redis.call('TIME')
local now_ms = time[1] * 1000 + time[2] / 1000

for _, member in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now_ms, 'LIMIT', 0, most)) do
  redis.call('XADD', KEYS[6 + tonumber(string.sub(member, 1, 1))], '*', 'd', string.sub(member, 2))
  redis.call('ZREM', KEYS[2], member)
end

local pace = redis.call('HMGET', KEYS[3], 'tokens', 'at', 'limit', 'cut', 'pause', 'failures')
local limit, learned = tonumber(ARGV[5]), tonumber(pace[3])
if learned then limit = ARGV[6] == '1' and math.min(limit, learned) or learned end
local burst = math.max(1, limit * (1 - tonumber(ARGV[7])))
local passed = pace[2] and math.max(0, now_ms - tonumber(pace[2])) / 1000 or 0
local cut = math.min(1, tonumber(pace[4] or 1) + passed / 20) -- halved by a 429, whole again 10 s later
local rate = limit * tonumber(ARGV[7]) * cut
local tokens = pace[1] and math.min(burst, tonumber(pace[1]) + passed * rate) or burst
local granted = math.min(most, math.floor(tokens))
local paused = math.max(0, tonumber(pace[5] or 0) - now_ms)
if paused > 0 then granted = 0 end
if tonumber(pace[6] or 0) >= tonumber(ARGV[8]) then
  granted = math.min(granted, 1)
  if under_way > 0 then granted, paused = 0, math.max(paused, 50) end
end

local function read(stream, count)
  local call = {'XREADGROUP', 'GROUP', ARGV[9], ARGV[10], 'COUNT', count, 'STREAMS', stream, '>'}
  local answer = redis.pcall(unpack(call))
  if answer and answer.err then
    -- A group that is gone is made again; reading starts at the beginning, for nothing settled is left in a stream.
    redis.call('XGROUP', 'CREATE', stream, ARGV[9], '0', 'MKSTREAM')
    answer = redis.call(unpack(call))
  end
  return answer and answer[1] and answer[1][2] or {}
end

-- Whoever waits for more waits for what comes after this.
local function last_id(stream)
  local about = redis.pcall('XINFO', 'STREAM', stream)
  for i = 1, #about, 2 do
    if about[i] == 'last-generated-id' then return about[i + 1] end
  end
  return '0-0'
end

local claimed = {}
for i = 6, 8 do
  local left = granted - #claimed
  if left <= 0 then break end
  for _, entry in ipairs(read(KEYS[i], left)) do
    claimed[#claimed + 1] = {i - 6, entry[1], entry[2][2]}
  end
end

tokens = tokens - #claimed
redis.call('HSET', KEYS[3], 'tokens', string.format('%.4f', tokens), 'at', string.format('%.3f', now_ms), 'cut', cut,
  'rate', string.format('%.4f', rate)) -- the rate is for whoever asks how fast this lane is, see workload.py
local next_token = math.max(paused, tokens >= 1 and 0 or math.ceil((1 - tokens) / rate * 1000))
local first = redis.call('ZRANGE', KEYS[2], 0, 0, 'WITHSCORES')
local next_retry = first[2] and math.max(0, math.ceil(tonumber(first[2]) - now_ms)) or -1
local seen = #claimed == 0 and {last_id(KEYS[6]), last_id(KEYS[7]), last_id(KEYS[8])} or {}
return {'ok', claimed, math.ceil(next_token), next_retry, seen}
