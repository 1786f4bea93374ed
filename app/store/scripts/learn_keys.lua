-- Counts the property names that each event type has been sent with. A name counts once, whoever sends it.
--
-- most    names of all types together, after which no more are learned
-- names   of each: event type, digest of type and name
if redis.call('SCARD', seen) >= tonumber(most) then return end
for i = names_at, #ARGV, 2 do
  if redis.call('SADD', seen, ARGV[i + 1]) == 1 then redis.call('HINCRBY', counts, ARGV[i], 1) end
end
