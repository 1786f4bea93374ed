-- Replaces values in hashes where they are still those that were read. An empty one removes its field.
-- changes  for each hash: the field, the value that was read, the new one
-- Returns  how many values are others by now, and stay
local left = 0
for i, hash in ipairs(hashes) do
  local field, value, new = changes[3 * i - 2], changes[3 * i - 1], changes[3 * i]
  if redis.call('HGET', hash, field) ~= value then
    left = left + 1
  elseif new == '' then
    redis.call('HDEL', hash, field)
  else
    redis.call('HSET', hash, field, new)
  end
end
return left
