-- Takes calls about one person out of a lane, and ends them in the books. A call that a drain holds is left to it: it may
-- be on its way to Attentive. One that nobody holds any more, for its drain has died, is taken out.
--
-- KEYS  the deletion's record, books, parts, lease, retry, then the lane's streams
-- ARGV  group, ending, number of calls; then each: stream number (-1: retry), entry id (of a retry the whole member), event
--       key, calls of that event
-- Returns  how many were left to their drain
local left, arg = 0, 4
for _ = 1, tonumber(ARGV[3]) do
  local number, id, gone, place = tonumber(ARGV[arg]), ARGV[arg + 1], 0, 'removed:lanes'
  if number < 0 then
    gone, place = redis.call('ZREM', KEYS[5], id), 'removed:retries'
  else
    local stream = KEYS[6 + number]
    local pending = redis.pcall('XPENDING', stream, ARGV[1], id, id, 1) -- an error says that there is no group yet
    if not pending.err and #pending > 0 and redis.call('EXISTS', KEYS[4]) == 1 then
      left = left + 1
    else
      gone = redis.call('XDEL', stream, id)
      if not pending.err then redis.call('XACK', stream, ARGV[1], id) end
    end
  end
  if gone == 1 then
    close(KEYS[2], KEYS[3], ARGV[arg + 2], tonumber(ARGV[arg + 3]), ARGV[2])
    redis.call('HINCRBY', KEYS[1], place, 1)
  end
  arg = arg + 4
end
return left
