-- Removes entries about one person from a stream, and counts them in `field` of the erasure's record.
local gone = redis.call('XDEL', stream, unpack(ids))
redis.call('HINCRBY', erasure, field, gone)
return gone
