-- Takes one erasure a step on, unless another worker has. What names the person goes once no step needs it any more.
-- due_at   of the next step (epoch ms; '' at its end)    oldest    receipts that were begun before (epoch ms) are removed
-- nameless 1 to remove who it is about                   ended     field of the counters for its end
-- Returns  1, or 0 when it is in another state
if redis.call('HGET', erasure, 'state') ~= state then return 0 end
if nameless == '1' then redis.call('HDEL', erasure, 'who') end
redis.call('HSET', erasure, unpack(fields))
if due_at ~= '' then
  redis.call('ZADD', due, due_at, id)
  return 1
end
redis.call('ZREM', due, id)
redis.call('EXPIRE', erasure, keep_s)
redis.call('ZREMRANGEBYSCORE', receipts, '-inf', '(' .. oldest)
redis.call('HINCRBY', counters, ended, 1)
return 1
