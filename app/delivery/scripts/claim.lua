-- Hands the drain what it may send now: due retries return to their streams, tokens are counted, and as many deliveries
-- are claimed as there are tokens, high before normal before low. One step, so no token is taken for nothing.
--
-- KEYS  lease, retry, pace, lane hold, destination hold, high, normal, low
-- ARGV  owner, lease in ms, most to hand out, how many the drain already holds and only needs tokens for,
--       tokens per second, most tokens saved up, group, consumer
-- Returns  {'lost'} | {'held', ms} |
--          {'ok', tokens for those it holds, {{stream number, entry id, payload}…}, ms to the next token, ms to the
--           next retry or -1}
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return {'lost'} end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
local held = math.max(redis.call('PTTL', KEYS[4]), redis.call('PTTL', KEYS[5]))
if held > 0 then return {'held', held} end

local most, holding = tonumber(ARGV[3]), tonumber(ARGV[4])
local rate, burst = tonumber(ARGV[5]), tonumber(ARGV[6])
local time = redis.call('TIME')
local now_ms = time[1] * 1000 + time[2] / 1000

for _, member in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now_ms, 'LIMIT', 0, most)) do
  redis.call('XADD', KEYS[6 + tonumber(string.sub(member, 1, 1))], '*', 'd', string.sub(member, 2))
  redis.call('ZREM', KEYS[2], member)
end

local pace = redis.call('HMGET', KEYS[3], 'tokens', 'at')
local tokens = burst
if pace[1] and pace[2] then
  tokens = math.min(burst, tonumber(pace[1]) + math.max(0, now_ms - tonumber(pace[2])) / 1000 * rate)
end
local granted = math.min(most, math.floor(tokens))
local for_held = math.min(holding, granted)

local function read(stream, count)
  local call = {'XREADGROUP', 'GROUP', ARGV[7], ARGV[8], 'COUNT', count, 'STREAMS', stream, '>'}
  local answer = redis.pcall(unpack(call))
  if answer and answer.err then
    -- A group that is gone is made again; reading starts at the beginning, for nothing settled is left in a stream.
    redis.call('XGROUP', 'CREATE', stream, ARGV[7], '0', 'MKSTREAM')
    answer = redis.call(unpack(call))
  end
  return answer and answer[1] and answer[1][2] or {}
end

local claimed = {}
for i = 6, 8 do
  local left = granted - for_held - #claimed
  if left <= 0 then break end
  for _, entry in ipairs(read(KEYS[i], left)) do
    claimed[#claimed + 1] = {i - 6, entry[1], entry[2][2]}
  end
end

tokens = tokens - for_held - #claimed
redis.call('HSET', KEYS[3], 'tokens', string.format('%.4f', tokens), 'at', string.format('%.3f', now_ms))
local next_token = tokens >= 1 and 0 or math.ceil((1 - tokens) / rate * 1000)
local first = redis.call('ZRANGE', KEYS[2], 0, 0, 'WITHSCORES')
local next_retry = first[2] and math.max(0, math.ceil(tonumber(first[2]) - now_ms)) or -1
return {'ok', for_held, claimed, next_token, next_retry}
