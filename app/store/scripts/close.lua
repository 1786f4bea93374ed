-- Ends one call of an event. The first part of the scripts that end calls; it needs `counters`, `parts`, `delivered` and
-- `row_outcomes`, where the ending of a row's event is stored for the sync that follows it.
-- An event of several calls has ended with its last one, and in the way of the first that was not delivered.
-- `ending` is a field of the counters; nil: delivered.
local function close(key, calls, ending)
  if calls > 1 then
    if ending then redis.call('HSETNX', parts, key .. ':end', ending) end
    if redis.call('HINCRBY', parts, key, -1) > 0 then return end
    ending = redis.call('HGET', parts, key .. ':end')
    redis.call('HDEL', parts, key, key .. ':end')
  end
  ending = ending or delivered
  redis.call('HINCRBY', counters, ending, 1)
  if redis.call('HEXISTS', row_outcomes, key) == 1 then redis.call('HSET', row_outcomes, key, ending) end
end
