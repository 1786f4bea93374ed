-- Removes the fingerprints of what was last sent about one person, and counts them in `field` of the erasure's record.
-- names  the field of each place; where it is empty, the place itself is the fingerprint
local gone = 0
for i, place in ipairs(places) do
  gone = gone + (names[i] == '' and redis.call('DEL', place) or redis.call('HDEL', place, names[i]))
end
redis.call('HINCRBY', erasure, field, gone)
return gone
