-- Takes a lane for one drain, unless another holds it.
-- KEYS  lease, turn    ARGV  owner, lease in ms    Returns  1 when taken
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
-- A full Redis refuses a script whose first write takes memory. This one frees none, and lets the next through: a drain
-- must start when Redis is full, for nothing else makes room.
redis.call('DEL', KEYS[1])
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
redis.call('INCR', KEYS[2])
return 1
