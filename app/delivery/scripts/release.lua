-- Hands a lane back. Nothing can slip in between "it is empty" and "I am gone".
-- KEYS  lease, turn, then the lane's streams    ARGV  owner
-- Returns  the lane's turn when something waits in it, else -1
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return -1 end
redis.call('DEL', KEYS[1])
for i = 3, #KEYS do
  if redis.call('XLEN', KEYS[i]) > 0 then return tonumber(redis.call('GET', KEYS[2]) or '0') end
end
return -1
