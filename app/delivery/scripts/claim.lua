-- Hands the drain what it may send now: due retries return to their streams, tokens are counted, and as many deliveries
-- are claimed as there are tokens, high before normal before low before stale. One step, so no token is taken for nothing.
--
-- KEYS  lease, retry, pace, ceiling, lane hold, destination hold, then the lane's streams: high, normal, low, stale
-- ARGV  owner, lease in ms, most to hand out, calls under way, calls in Attentive's last second, calls a second that others
--       make, limit in calls per second, 1 when Attentive's own figure may only lower it, ceiling over all lanes in calls
--       per second (0: none), name of the lane under it, share of a limit to use, failures in a row after which one call
--       at a time goes out, patience in ms, group, consumer
-- Returns  {'lost'} | {'held', ms} |
--          {'ok', {{stream number, entry id, payload, 1 when past its deadline}…}, ms to the next token, ms to the next retry or -1, and when
--           there was nothing: last id of each stream}
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return {'lost'} end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
local held = math.max(redis.call('PTTL', KEYS[5]), redis.call('PTTL', KEYS[6]))
if held > 0 then return {'held', held} end

local FIRST, LAST = 7, #KEYS -- where the streams stand among the keys; the last one is for what has gone stale
local MOST_MOVED = 500 -- stale ones in one run: others use this Redis too
local ASIDE = 0.1 -- of the tokens is for what has waited longer than patience
local most, patience_ms, group, consumer = tonumber(ARGV[3]), tonumber(ARGV[13]), ARGV[14], ARGV[15]
local time = redis.call('TIME')
local now_ms = time[1] * 1000 + time[2] / 1000

for _, member in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now_ms, 'LIMIT', 0, most)) do
  redis.call('XADD', KEYS[FIRST + tonumber(string.sub(member, 1, 1))], '*', 'd', string.sub(member, 2))
  redis.call('ZREM', KEYS[2], member)
end

local told = {
  under_way = tonumber(ARGV[4]), recent = tonumber(ARGV[5]), others = tonumber(ARGV[6]), limit = tonumber(ARGV[7]),
  fixed = ARGV[8] == '1', share = tonumber(ARGV[11]), failures = tonumber(ARGV[12]),
}
local pace = read_pace(KEYS[3], told, most, now_ms)
local granted, ceiling = pace.granted, nil
if tonumber(ARGV[9]) > 0 then
  ceiling = read_ceiling(KEYS[4], tonumber(ARGV[9]), told.share, ARGV[10], now_ms)
  granted = math.min(granted, ceiling.granted)
end

local function read(stream, count)
  local call = {'XREADGROUP', 'GROUP', group, consumer, 'COUNT', count, 'STREAMS', stream, '>'}
  local answer = redis.pcall(unpack(call))
  if answer and answer.err then
    -- A group that is gone is made again; reading starts at the beginning, for nothing settled is left in a stream.
    redis.call('XGROUP', 'CREATE', stream, group, '0', 'MKSTREAM')
    answer = redis.call(unpack(call))
  end
  return answer and answer[1] and answer[1][2] or {}
end

local claimed, spent, moved = {}, 0, 0

-- Claims from stream number `i` for up to `count` tokens. What has gone stale moves behind all that is fresh; what is past
-- its deadline is handed out for no token, for it will not be sent.
local function take(i, count)
  local stream, enough = KEYS[i], spent + count
  while spent < enough and #claimed < most and moved < MOST_MOVED do
    local entries = read(stream, math.min(enough - spent, most - #claimed))
    if #entries == 0 then return end
    for _, entry in ipairs(entries) do
      local id, payload = entry[1], entry[2][2]
      local fresh, deadline = string.match(payload, '^{"v":%d+,"fresh":(%w+),"deadline":(%d+)')
      if i < LAST and (tonumber(fresh or nil) or now_ms) < now_ms then
        redis.call('XADD', KEYS[LAST], '*', 'd', payload)
        redis.call('XACK', stream, group, id)
        redis.call('XDEL', stream, id)
        moved = moved + 1
      else
        local late = (tonumber(deadline or nil) or now_ms) < now_ms
        claimed[#claimed + 1] = {i - FIRST, id, payload, late and 1 or 0}
        if not late then spent = spent + 1 end
      end
    end
  end
end

-- What XINFO says about something, by name.
local function named(facts)
  local by_name = {}
  for i = 1, #facts, 2 do by_name[facts[i]] = facts[i + 1] end
  return by_name
end

-- When the next delivery of a stream came into it, in epoch ms; nil when all of them are claimed.
local function waits_since(stream)
  for _, facts in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
    local about = named(facts)
    if about.name == group then
      local entry = redis.call('XRANGE', stream, '(' .. about['last-delivered-id'], '+', 'COUNT', 1)[1]
      return entry and tonumber(string.match(entry[1], '^%d+'))
    end
  end
end

local function longest_waiting(since)
  local longest
  for i = FIRST + 1, LAST do
    local began = redis.call('EXISTS', KEYS[i]) == 1 and waits_since(KEYS[i])
    if began and began < since then longest, since = i, began end
  end
  return longest
end

-- Who has waited longer than patience goes first with a tenth of the tokens, the longest of them before the others.
pace.aside = pace.aside + granted * ASIDE
while pace.aside >= 1 and spent < granted do
  local i = longest_waiting(now_ms - patience_ms)
  if not i then break end
  take(i, 1)
  pace.aside = pace.aside - 1
end
pace.aside = math.min(1, pace.aside)

for i = FIRST, LAST do
  if spent < granted then take(i, granted - spent) end
end

local wait = write_pace(KEYS[3], pace, spent, now_ms)
if granted == 0 or moved >= MOST_MOVED then wait = math.max(wait, SHORTEST_MS) end
if ceiling then
  local wants_more = granted < pace.granted and spent == granted and longest_waiting(math.huge) ~= nil
  wait = math.max(wait, write_ceiling(KEYS[4], ceiling, spent, wants_more, now_ms))
end
local first = redis.call('ZRANGE', KEYS[2], 0, 0, 'WITHSCORES')
local next_retry = first[2] and math.max(0, math.ceil(tonumber(first[2]) - now_ms)) or -1

-- Whoever waits for more waits for what comes after this.
local seen = {}
for i = FIRST, #claimed == 0 and LAST or 0 do
  local exists = redis.call('EXISTS', KEYS[i]) == 1
  seen[#seen + 1] = exists and named(redis.call('XINFO', 'STREAM', KEYS[i]))['last-generated-id'] or '0-0'
end
return {'ok', claimed, math.ceil(wait), next_retry, seen}
