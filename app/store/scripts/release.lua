-- Hands a lane back. Nothing can slip in between "it is empty" and "I am gone".
-- Returns  the lane's generation when something waits in it and no hold is on it, else -1: the sweep wakes it after a hold
if redis.call('GET', lease) ~= owner then return -1 end
redis.call('DEL', lease)
if math.max(redis.call('PTTL', lane_hold), redis.call('PTTL', destination_hold)) > 0 then return -1 end
for _, stream in ipairs(streams) do
  if redis.call('XLEN', stream) > 0 then return tonumber(redis.call('GET', generation) or '0') end
end
return -1
