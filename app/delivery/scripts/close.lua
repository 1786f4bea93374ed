-- Ends one call of an event in the books. The first part of the scripts that end calls.
-- An event of several calls has ended with its last one, and in the way of the first that was not delivered.
-- `ending` is a field of the books; nil: delivered.
local function close(books, parts, key, calls, ending)
  if calls > 1 then
    if ending then redis.call('HSETNX', parts, key .. ':end', ending) end
    if redis.call('HINCRBY', parts, key, -1) > 0 then return end
    ending = redis.call('HGET', parts, key .. ':end')
    redis.call('HDEL', parts, key, key .. ':end')
  end
  redis.call('HINCRBY', books, ending or 'delivered', 1)
end
