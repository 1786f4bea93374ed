-- Takes one token of a lane for a call that waits in none, at the pace of those that do.
--
-- KEYS  lease, pace, ceiling, lane hold, destination hold
-- ARGV  owner, lease in ms, limit in calls per second, 1 when Attentive's own figure may only lower it, ceiling over all
--       lanes in calls per second (0: none), name of the lane under it, share of a limit to use, failures in a row after
--       which one call at a time goes out
-- Returns  0 when the call may leave now, else ms to wait
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return SHORTEST_MS end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
local held = math.max(redis.call('PTTL', KEYS[4]), redis.call('PTTL', KEYS[5]))
if held > 0 then return held end

local time = redis.call('TIME')
local now_ms = time[1] * 1000 + time[2] / 1000
local told = {
  under_way = 0, recent = 0, others = 0, limit = tonumber(ARGV[3]), fixed = ARGV[4] == '1', share = tonumber(ARGV[7]),
  failures = tonumber(ARGV[8]),
}
local pace = read_pace(KEYS[2], told, 1, now_ms)
local granted, ceiling = pace.granted, nil
if tonumber(ARGV[5]) > 0 then
  ceiling = read_ceiling(KEYS[3], tonumber(ARGV[5]), told.share, ARGV[6], now_ms)
  granted = math.min(granted, ceiling.granted)
end
local wait = write_pace(KEYS[2], pace, granted, now_ms)
if ceiling then wait = math.max(wait, write_ceiling(KEYS[3], ceiling, granted, granted < pace.granted, now_ms)) end
return granted > 0 and 0 or math.max(wait, SHORTEST_MS)
