-- Takes one deletion a step on, unless somebody else has. What names the person goes once no step needs it any more.
-- KEYS  the deletion's record, due, books, receipts
-- ARGV  its id, the state it must be in, when it is due next (epoch ms; '' at its end), a field of the books that counts
--       its end, how long the receipt is kept in s, receipts that were begun before this (epoch ms) are forgotten, 1 to
--       forget who it is; then the record's fields and values
-- Returns  1, or 0 when it is in another state
if redis.call('HGET', KEYS[1], 'state') ~= ARGV[2] then return 0 end
if ARGV[7] == '1' then redis.call('HDEL', KEYS[1], 'who') end
redis.call('HSET', KEYS[1], unpack(ARGV, 8))
if ARGV[3] ~= '' then
  redis.call('ZADD', KEYS[2], ARGV[3], ARGV[1])
  return 1
end
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('EXPIRE', KEYS[1], ARGV[5])
redis.call('ZREMRANGEBYSCORE', KEYS[4], '-inf', '(' .. ARGV[6])
redis.call('HINCRBY', KEYS[3], ARGV[4], 1)
return 1
