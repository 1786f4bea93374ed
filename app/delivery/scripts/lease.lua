-- Takes a lane for one drain, unless another holds it.
-- KEYS  lease, turn    ARGV  owner, lease in ms    Returns  1 when taken
if not redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then return 0 end
redis.call('INCR', KEYS[2])
return 1
