-- Whether a lane has something to send now and no drain.
-- Returns  the lane's generation when it should be woken, else -1
if redis.call('EXISTS', lease, lane_hold, destination_hold) > 0 then return -1 end
local waiting = 0
for _, stream in ipairs(streams) do waiting = waiting + redis.call('XLEN', stream) end
if waiting == 0 then
  local time = redis.call('TIME')
  local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
  waiting = redis.call('ZCOUNT', retry, '-inf', now_ms)
end
if waiting == 0 then return -1 end
return tonumber(redis.call('GET', generation) or '0')
