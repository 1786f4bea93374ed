-- Removes recorded calls about one person, and counts them in `field` of the erasure's record.
local gone, bytes = 0, 0
for _, id in ipairs(ids) do
  local entry = redis.call('XRANGE', calls, id, id)[1]
  if entry then
    redis.call('XDEL', calls, id)
    gone, bytes = gone + 1, bytes + #entry[2][2] + bytes_beside
  end
end
if gone > 0 then redis.call('DECRBY', calls_bytes, bytes) end
trim_calls(math.huge, math.huge, 0)
redis.call('HINCRBY', erasure, field, gone)
return gone
