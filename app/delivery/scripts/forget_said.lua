-- Forgets what was last said about one person, and counts it.
-- KEYS  the deletion's record, then the keys    ARGV  the record's field that counts them
local gone = redis.call('DEL', unpack(KEYS, 2))
redis.call('HINCRBY', KEYS[1], ARGV[1], gone)
return gone
