-- Takes entries about one person out of a stream, and counts them.
-- KEYS  the stream, the deletion's record    ARGV  the record's field that counts them; then the entries' ids
local gone = redis.call('XDEL', KEYS[1], unpack(ARGV, 2))
redis.call('HINCRBY', KEYS[2], ARGV[1], gone)
return gone
