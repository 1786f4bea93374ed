-- Hands the drain what it may send now: due retries return to their streams, tokens are counted, and as many deliveries
-- are claimed as there are tokens. One step, so no token is taken for nothing.
--
-- While both kinds of sources have something to send, each gets half of the tokens: a page that floods a lane delays
-- only what pages send. Of each kind, high goes before normal before low before stale.
--
-- streams  of trusted sources: high, normal, low, stale; and of public ones
--                                          ceiling_limit  of all lanes, in calls per second (0: none)
-- most     to hand out                     lane           its name under the ceiling
-- recent   calls in Attentive's second     share          of a limit to use
-- others   calls a second that others make failures_to_stop  in a row, after which one call at a time goes out
-- limit    in calls per second             starvation_ms  what waits longer gets reserved tokens
-- fixed    1 when Attentive's own figure may only lower the limit
-- Returns  {'lost'} | {'held', ms} |
--          {'ok', {{stream number, entry id, payload, 1 when past its deadline}…}, ms to the next token, ms to the next retry or -1, and when
--           there was nothing: last id of each stream, the filters of those who watch calls or nil, since when (epoch ms)
--           calls wait for the limit or 0, from when until when the lane was held last, or 0}
if redis.call('GET', lease) ~= owner then return {'lost'} end
redis.call('PEXPIRE', lease, lease_ms)
local time = redis.call('TIME')
local now_ms = time[1] * 1000 + time[2] / 1000
local held = math.max(redis.call('PTTL', lane_hold), redis.call('PTTL', destination_hold))
if held > 0 then
  note_hold(pace, held, now_ms)
  return {'held', held}
end

local OF_A_KIND = #streams / 2 -- of these, the last is for what has gone stale
local MOST_MOVED = 500 -- stale ones in one run: others use this Redis too
local MOST_BYTES = 4000000 -- of payloads in one run, for the same reason
local AT_ONCE = 64 -- entries that are read by one command
local RESERVED_SHARE = 0.1 -- of the tokens is for what has waited longer than the starvation limit
most = tonumber(most)

local handled = 0 -- bytes of payloads

local returned, page = 0, nil
repeat
  page = redis.call('ZRANGEBYSCORE', retry, '-inf', now_ms, 'LIMIT', 0, math.min(AT_ONCE, most - returned))
  for _, member in ipairs(page) do
    redis.call('XADD', streams[1 + tonumber(string.sub(member, 1, 1))], '*', 'd', string.sub(member, 2))
    redis.call('ZREM', retry, member)
    returned, handled = returned + 1, handled + #member
  end
until #page < AT_ONCE or returned >= most or handled >= MOST_BYTES
handled = handled / 2 -- what returns may be claimed too, in the same run

local state = {
  under_way = tonumber(under_way), recent = tonumber(recent), others = tonumber(others), limit = tonumber(limit),
  fixed = fixed == '1', share = tonumber(share), failures = tonumber(failures_to_stop),
}
local bucket = read_pace(pace, state, most, now_ms)
local granted, shared = bucket.granted, nil
if tonumber(ceiling_limit) > 0 then
  shared = read_ceiling(ceiling, tonumber(ceiling_limit), state.share, lane, now_ms)
  granted = math.min(granted, shared.granted)
end

local function read(stream, count)
  if redis.call('XLEN', stream) == 0 then return {} end
  local call = {'XREADGROUP', 'GROUP', group, consumer, 'COUNT', count, 'STREAMS', stream, '>'}
  local answer = redis.pcall(unpack(call))
  if answer and answer.err then
    -- A group that is gone is made again; reading starts at the beginning, because nothing settled is left in a stream.
    redis.call('XGROUP', 'CREATE', stream, group, '0', 'MKSTREAM')
    answer = redis.call(unpack(call))
  end
  return answer and answer[1] and answer[1][2] or {}
end

local claimed, spent, moved = {}, 0, 0

-- Claims from stream number `i` for up to `count` tokens. What has gone stale moves behind all that is fresh; what is past
-- its deadline is handed out without a token, because it will not be sent.
local function take(i, count)
  local stream, enough, stale = streams[i], spent + count, math.ceil(i / OF_A_KIND) * OF_A_KIND
  while spent < enough and #claimed < most and moved < MOST_MOVED and handled < MOST_BYTES do
    local entries = read(stream, math.min(enough - spent, most - #claimed, AT_ONCE))
    if #entries == 0 then return end
    for _, entry in ipairs(entries) do
      local id, payload = entry[1], entry[2][2]
      handled = handled + #payload
      local fresh, deadline = string.match(payload, '^{"v":%d+,"fresh":(%w+),"deadline":(%d+)')
      if i < stale and (tonumber(fresh or nil) or now_ms) < now_ms then
        redis.call('XADD', streams[stale], '*', 'd', payload)
        redis.call('XACK', stream, group, id)
        redis.call('XDEL', stream, id)
        moved = moved + 1
      else
        local late = (tonumber(deadline or nil) or now_ms) < now_ms
        claimed[#claimed + 1] = {i - 1, id, payload, late and 1 or 0}
        if not late then spent = spent + 1 end
      end
    end
  end
end

-- The facts of an XINFO answer, by name.
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
  for i = 2, #streams do
    local began = redis.call('EXISTS', streams[i]) == 1 and waits_since(streams[i])
    if began and began < since then longest, since = i, began end
  end
  return longest
end

-- What has waited longer than the starvation limit gets a reserved tenth of the tokens, the longest wait first.
bucket.reserved = bucket.reserved + granted * RESERVED_SHARE
while bucket.reserved >= 1 and spent < granted do
  local i = longest_waiting(now_ms - starvation_ms)
  if not i then break end
  take(i, 1)
  bucket.reserved = bucket.reserved - 1
end
bucket.reserved = math.min(1, bucket.reserved)

-- Claims from the streams from number `first` on that are of one kind, for up to `count` tokens.
local function take_kind(first, count)
  local enough = spent + count
  for i = first, first + OF_A_KIND - 1 do
    if spent < enough then take(i, enough - spent) end
  end
end

local before_public = spent
bucket.public = bucket.public + (granted - spent) / 2
take_kind(OF_A_KIND + 1, math.min(granted - spent, math.floor(bucket.public)))
bucket.public = math.min(1, bucket.public - (spent - before_public)) -- what pages did not use is not saved up
take_kind(1, granted - spent)
take_kind(OF_A_KIND + 1, granted - spent)

-- Calls wait for the limit while it grants fewer than the drain has room for, and all of these are taken. Where it grants
-- none, that goes on.
local limited_since = bucket.limited_since -- what is claimed now has waited since then, even if nothing else waits any more
if granted >= most or (granted > 0 and spent < granted) then
  bucket.limited_since = 0
elseif bucket.limited_since == 0 and (spent > 0 or longest_waiting(math.huge)) then
  bucket.limited_since = now_ms
end
local wait = write_pace(pace, bucket, spent, now_ms)
if granted == 0 or moved >= MOST_MOVED or handled >= MOST_BYTES then wait = math.max(wait, SHORTEST_MS) end
if shared then
  local wants_more = granted < bucket.granted and spent == granted and longest_waiting(math.huge) ~= nil
  wait = math.max(wait, write_ceiling(ceiling, shared, spent, wants_more, now_ms))
end
local first = redis.call('ZRANGE', retry, 0, 0, 'WITHSCORES')
local next_retry = first[2] and math.max(0, math.ceil(tonumber(first[2]) - now_ms)) or -1

-- Whoever waits for more waits for what comes after this.
local seen = {}
for i = 1, #claimed == 0 and #streams or 0 do
  local exists = redis.call('EXISTS', streams[i]) == 1
  seen[#seen + 1] = exists and named(redis.call('XINFO', 'STREAM', streams[i]))['last-generated-id'] or '0-0'
end
return {'ok', claimed, math.ceil(wait), next_retry, seen, redis.call('GET', tap), math.floor(math.max(limited_since, bucket.limited_since)),
  bucket.held_from, bucket.held_until}
