-- Whether a lane has something to send now and nobody to send it.
-- KEYS  lease, turn, retry, lane hold, destination hold, then the lane's streams
-- Returns  the lane's turn when it should be woken, else -1
if redis.call('EXISTS', KEYS[1], KEYS[4], KEYS[5]) > 0 then return -1 end
local waiting = 0
for i = 6, #KEYS do waiting = waiting + redis.call('XLEN', KEYS[i]) end
if waiting == 0 then
  local time = redis.call('TIME')
  local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
  waiting = redis.call('ZCOUNT', KEYS[3], '-inf', now_ms)
end
if waiting == 0 then return -1 end
return tonumber(redis.call('GET', KEYS[2]) or '0')
