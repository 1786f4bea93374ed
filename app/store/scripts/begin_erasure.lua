-- Begins one erasure: a request that waits becomes a record with a next step. Exactly once, however often it is called.
-- entry_id  of the request    id  of the erasure    now  epoch ms    fields  of the record, with values
-- Returns  1 when begun, 0 when the request was gone or the erasure is known
if redis.call('XDEL', requests, entry_id) == 0 or redis.call('EXISTS', erasure) == 1 then return 0 end
redis.call('HSET', erasure, unpack(fields))
redis.call('ZADD', due, now, id)
redis.call('ZADD', receipts, now, id)
redis.call('HINCRBY', counters, begun, 1)
return 1
