-- Takes a lane for one drain, unless another holds it, and makes the consumer groups that are not there.
-- KEYS  lease, turn, pace, then the lane's streams    ARGV  owner, lease in ms, group
-- Returns  {} | when taken: {calls in Attentive's second at the last claim of the drain before, ms since then}
if redis.call('EXISTS', KEYS[1]) == 1 then return {} end
-- A full Redis refuses a script whose first write takes memory. This one frees none, and lets the next through: a drain
-- must start when Redis is full, for nothing else makes room.
redis.call('DEL', KEYS[1])
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
redis.call('INCR', KEYS[2])
for i = 4, #KEYS do
  redis.pcall('XGROUP', 'CREATE', KEYS[i], ARGV[3], '0', 'MKSTREAM') -- an error says that it is there
end
local time, before = redis.call('TIME'), redis.call('HMGET', KEYS[3], 'recent', 'at')
local now_ms = time[1] * 1000 + time[2] / 1000
return {tonumber(before[1] or 0), math.max(0, math.floor(now_ms - tonumber(before[2] or now_ms)))}
