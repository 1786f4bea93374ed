-- Ends attempts: each delivery leaves its stream and, in the same step, is done, waits for another attempt (or, back in
-- its stream, for the end of a hold), is a dead letter, or has an outcome that nobody knows. An entry that somebody else
-- settled is left alone, so that a drain that was thought dead changes nothing.
--
-- KEYS  retry, dead, books, parts, journal, lane hold, destination hold, pace, unknown, high, normal, low; then what
--       was last said to whom
-- ARGV  group, journal length, lane hold in ms, destination hold in ms, reason of the hold; what the answers say of the
--       pace: limit or '', 1 after a 429, ms to pause, calls answered, calls failed, failures in a row that stop the
--       lane, longest stop in ms; number of deliveries; then each: stream number, entry id, verb (done | retry | held |
--       dead | unknown), event key, calls of that event, message id, journal record, ending (a field of the books, when
--       the verb is dead or unknown), a field of the books that counts this or '', when due (epoch ms), payload (of an
--       unknown outcome that is not kept: ''), indexes into KEYS of what was last said, with commas (0: not remembered),
--       digest of what this said
-- Returns  how many were settled here
-- A full Redis refuses a script whose first write takes memory. This one takes none and lets the others through: attempts
-- must be settled when Redis is full, for nothing else makes room.
redis.call('PEXPIRE', KEYS[8], 3600000)
if tonumber(ARGV[3]) > 0 then redis.call('SET', KEYS[6], ARGV[5], 'PX', ARGV[3]) end
if tonumber(ARGV[4]) > 0 then redis.call('SET', KEYS[7], ARGV[5], 'PX', ARGV[4]) end

local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
if ARGV[6] ~= '' then redis.call('HSET', KEYS[8], 'limit', ARGV[6]) end
if ARGV[7] == '1' then
  -- Calls that were under way together are refused together: they cut the pace once.
  local pace = redis.call('HMGET', KEYS[8], 'cut', 'cut_at')
  if now_ms - tonumber(pace[2] or 0) > 1000 then
    redis.call('HSET', KEYS[8], 'cut', math.max(0.05, tonumber(pace[1] or 1) / 2), 'cut_at', now_ms)
  end
end
if tonumber(ARGV[8]) > 0 then redis.call('HSET', KEYS[8], 'pause', now_ms + tonumber(ARGV[8])) end
if tonumber(ARGV[9]) > 0 then
  redis.call('HDEL', KEYS[8], 'failures', 'stops')
elseif tonumber(ARGV[10]) > 0 then
  local failures = redis.call('HINCRBY', KEYS[8], 'failures', ARGV[10])
  if failures >= tonumber(ARGV[11]) and redis.call('EXISTS', KEYS[6]) == 0 then
    local stops = redis.call('HINCRBY', KEYS[8], 'stops', 1)
    local stop_ms = math.min(tonumber(ARGV[12]), 1000 * 2 ^ math.min(stops - 1, 10))
    redis.call('SET', KEYS[6], 'Attentive does not answer', 'PX', string.format('%d', stop_ms))
  end
end

-- Accepted: remembered as said. Given up: forgotten. Unless something newer about the same person is on its way.
local function remember(indexes, digest, accepted)
  if indexes == '0' then return end
  for index in string.gmatch(indexes, '%d+') do
    local key = KEYS[tonumber(index)]
    local last = redis.call('GET', key)
    if last and string.sub(last, 1, 1 + #digest) == 'p' .. digest then
      if accepted then
        redis.call('SET', key, 'd' .. string.sub(last, 2), 'KEEPTTL')
      else
        redis.call('DEL', key)
      end
    end
  end
end

local settled, arg = 0, 14
for _ = 1, tonumber(ARGV[13]) do
  local stream, id, verb, key = KEYS[10 + tonumber(ARGV[arg])], ARGV[arg + 1], ARGV[arg + 2], ARGV[arg + 3]
  local calls, message_id, record, ending = tonumber(ARGV[arg + 4]), ARGV[arg + 5], ARGV[arg + 6], ARGV[arg + 7]
  local counted, payload = ARGV[arg + 8], ARGV[arg + 10]
  local said, digest = ARGV[arg + 11], ARGV[arg + 12]
  if redis.call('XACK', stream, ARGV[1], id) == 1 then
    settled = settled + 1
    redis.call('XDEL', stream, id)
    if verb == 'retry' then
      -- Two calls of one event may be quite the same, and a set would keep one: a space after the head's JSON tells the
      -- other.
      local head, rest = string.match(payload, '^([^\n]*)(.*)$')
      while redis.call('ZADD', KEYS[1], 'NX', ARGV[arg + 9], ARGV[arg] .. head .. rest) == 0 do head = head .. ' ' end
    elseif verb == 'held' then
      redis.call('XADD', stream, '*', 'd', payload)
    elseif verb == 'dead' then
      redis.call('XADD', KEYS[2], '*', 'd', payload)
      remember(said, digest, false)
      close(KEYS[3], KEYS[4], key, calls, ending)
    elseif verb == 'unknown' then
      if payload ~= '' then redis.call('XADD', KEYS[9], '*', 'd', payload) end
      close(KEYS[3], KEYS[4], key, calls, ending)
    else
      remember(said, digest, true)
      close(KEYS[3], KEYS[4], key, calls, nil)
    end
    if counted ~= '' then redis.call('HINCRBY', KEYS[3], counted, 1) end
    redis.call('XADD', KEYS[5], 'MAXLEN', '~', ARGV[2], '*', 'm', message_id, 's', 'attempt', 'd', record)
  end
  arg = arg + 13
end
return settled
