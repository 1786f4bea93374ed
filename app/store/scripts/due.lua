-- Whether a lane has something to send now and no drain. If it is held, that is noted.
-- Returns  the lane's generation when it should be woken, else -1
if redis.call('EXISTS', lease) == 1 then return -1 end
local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
local waiting = 0
for _, stream in ipairs(streams) do waiting = waiting + redis.call('XLEN', stream) end
if waiting == 0 then waiting = redis.call('ZCOUNT', retry, '-inf', now_ms) end
if waiting == 0 then return -1 end
local held = math.max(redis.call('PTTL', lane_hold), redis.call('PTTL', destination_hold))
if held > 0 then
  note_hold(pace, held, now_ms)
  return -1
end
return tonumber(redis.call('GET', generation) or '0')
