-- Takes one token of a lane for a call that waits in none, at the pace of those that do.
-- Arguments as those of claim.lua.
-- Returns  0 when the call may leave now, else ms to wait
if redis.call('GET', lease) ~= owner then return SHORTEST_MS end
redis.call('PEXPIRE', lease, lease_ms)
local held = math.max(redis.call('PTTL', lane_hold), redis.call('PTTL', destination_hold))
if held > 0 then return held end

local time = redis.call('TIME')
local now_ms = time[1] * 1000 + time[2] / 1000
local state = {
  under_way = 0, recent = 0, others = 0, limit = tonumber(limit), fixed = fixed == '1', share = tonumber(share),
  failures = tonumber(failures_to_stop),
}
local bucket = read_pace(pace, state, 1, now_ms)
local granted, shared = bucket.granted, nil
if tonumber(ceiling_limit) > 0 then
  shared = read_ceiling(ceiling, tonumber(ceiling_limit), state.share, lane, now_ms)
  granted = math.min(granted, shared.granted)
end
local wait = write_pace(pace, bucket, granted, now_ms)
if shared then wait = math.max(wait, write_ceiling(ceiling, shared, granted, granted < bucket.granted, now_ms)) end
return granted > 0 and 0 or math.max(wait, SHORTEST_MS)
