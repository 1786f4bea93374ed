-- Removes dead letters about one person from a queue, and counts them in `field` of the erasure's record.
local gone = 0
for _, id in ipairs(ids) do
  if remove_letter(queue, kept, id) then gone = gone + 1 end
end
redis.call('HINCRBY', erasure, field, gone)
return gone
