-- Begins one deletion: from a request that waits to a record with a next step. Exactly once, however often it is asked.
-- KEYS  requests, due, receipts, the deletion's record, books
-- ARGV  id of the request's entry, the deletion's id, now (epoch ms); then the record's fields and values
-- Returns  1 when begun, 0 when the request was gone or the same deletion is known
if redis.call('XDEL', KEYS[1], ARGV[1]) == 0 or redis.call('EXISTS', KEYS[4]) == 1 then return 0 end
redis.call('HSET', KEYS[4], unpack(ARGV, 4))
redis.call('ZADD', KEYS[2], ARGV[3], ARGV[2])
redis.call('ZADD', KEYS[3], ARGV[3], ARGV[2])
redis.call('HINCRBY', KEYS[5], 'deletions:begun', 1)
return 1
