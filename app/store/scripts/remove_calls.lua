-- Removes calls about one person from a lane, and ends them. A call that a drain holds is left to it: it may be on its way
-- to Attentive. One whose drain has died is removed.
--
-- calls  `count` of them, each: stream number (-1: retry), entry id (of a retry the whole member), event key,
--        calls of that event, source, bytes of its payload
-- Returns  how many were left to their drain
local left, arg = 0, calls_at
for _ = 1, tonumber(count) do
  local number, id, gone, place = tonumber(ARGV[arg]), ARGV[arg + 1], 0, from_lanes
  if number < 0 then
    gone, place = redis.call('ZREM', retry, id), from_retries
  else
    local stream = streams[1 + number]
    local pending = redis.pcall('XPENDING', stream, group, id, id, 1) -- an error means that there is no group yet
    if not pending.err and #pending > 0 and redis.call('EXISTS', lease) == 1 then
      left = left + 1
    else
      gone = redis.call('XDEL', stream, id)
      if not pending.err then redis.call('XACK', stream, group, id) end
    end
  end
  if gone == 1 then
    close(ARGV[arg + 2], tonumber(ARGV[arg + 3]), ending)
    redis.call('HINCRBY', erasure, place, 1)
    redis.call('HINCRBY', backlog, 'calls:' .. ARGV[arg + 4], -1)
    redis.call('HINCRBY', backlog, 'bytes:' .. ARGV[arg + 4], -tonumber(ARGV[arg + 5]))
  end
  arg = arg + 6
end
return left
