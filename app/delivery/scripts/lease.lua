-- Takes a lane for one drain, unless another holds it, and makes the consumer groups that are not there.
-- KEYS  lease, turn, then the lane's streams    ARGV  owner, lease in ms, group    Returns  1 when taken
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
-- A full Redis refuses a script whose first write takes memory. This one frees none, and lets the next through: a drain
-- must start when Redis is full, for nothing else makes room.
redis.call('DEL', KEYS[1])
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
redis.call('INCR', KEYS[2])
for i = 3, #KEYS do
  redis.pcall('XGROUP', 'CREATE', KEYS[i], ARGV[3], '0', 'MKSTREAM') -- an error says that it is there
end
return 1
