-- Takes a lane for one drain, unless another has it, and makes the consumer groups that do not exist.
-- Returns  {} | when taken: {calls in Attentive's second at the last claim of the drain before, ms since then}
if redis.call('EXISTS', lease) == 1 then return {} end
-- A full Redis refuses a script whose first write takes memory. This one frees none, and lets the next through: a drain
-- must start when Redis is full, because nothing else makes room.
redis.call('DEL', lease)
redis.call('SET', lease, owner, 'PX', lease_ms)
redis.call('INCR', generation)
for _, stream in ipairs(streams) do
  redis.pcall('XGROUP', 'CREATE', stream, group, '0', 'MKSTREAM') -- an error means that it exists
end
local time, before = redis.call('TIME'), redis.call('HMGET', pace, 'recent', 'at')
local now_ms = time[1] * 1000 + time[2] / 1000
return {tonumber(before[1] or 0), math.max(0, math.floor(now_ms - tonumber(before[2] or now_ms)))}
