-- How many calls may leave now: the token bucket of a lane, and the one that all lanes of an account share. For claim.lua,
-- which reads both, claims, and writes down what was spent.

local SHORTEST_MS = 20 -- from one claim to the next where nothing may leave
local GONE_MS = 2000 -- a lane that has not asked for so long does not wait for the ceiling any more

local function filled(tokens, at, rate, most, now_ms)
  if not tokens or not at then return most end
  return math.min(most, tokens + math.max(0, now_ms - at) / 1000 * rate)
end

local function wait_for_one(tokens, rate)
  return tokens >= 1 and 0 or math.ceil((1 - tokens) / rate * 1000)
end

-- The lane's own pace. `state` is what the drain knows: limit, fixed (Attentive's own figure may only lower it), share of
-- the limit to use, recent calls in Attentive's last second, calls a second that others make, calls under way, failures
-- in a row after which one call at a time goes out.
local function read_pace(key, state, most, now_ms)
  local facts = redis.call('HMGET', key, 'tokens', 'at', 'limit', 'backoff', 'pause', 'failures', 'others', 'reserved',
    'public', 'limited_since', 'held_from', 'held_until')
  for i = 1, 12 do facts[i] = tonumber(facts[i] or nil) end
  local tokens, at, learned, backoff, pause, failures, others, reserved, public, limited_since, held_from, held_until =
    unpack(facts, 1, 12)
  local passed_s = at and math.max(0, now_ms - at) / 1000 or 0
  local limit = state.limit
  -- Others keep what they use of the limit, and a quarter more, because they may need more in the next second. We never take
  -- less than a quarter of the limit; half of what was seen of them is forgotten each second.
  others = math.max(state.others, (others or 0) * 0.5 ^ passed_s)
  if learned then
    learned = math.max(learned / 4, learned - 1.25 * others)
    limit = state.fixed and math.min(limit, learned) or learned
  end
  backoff = math.min(1, (backoff or 1) * 2 ^ (passed_s / 4)) -- halved by a 429, whole again 4 s later
  local rate = limit * state.share * backoff
  -- The bucket holds a tenth of a second's calls: a drain that comes late by that much loses none of its pace. What
  -- Attentive counts within one second is looked after apart from that: there must be room.
  tokens = filled(tokens, at, rate, math.max(2, limit / 10), now_ms)
  local room = math.max(1, math.floor(limit)) - state.recent
  local granted = math.max(0, math.min(most, math.floor(tokens), room))
  if (failures or 0) >= state.failures then granted = state.under_way > 0 and 0 or math.min(granted, 1) end
  local paused = math.max(0, (pause or 0) - now_ms)
  if paused > 0 then granted = 0 end
  if held_until and held_until > now_ms then -- the hold was ended
    held_until = math.floor(now_ms)
    redis.call('HSET', key, 'held_until', string.format('%d', held_until))
  end
  return {
    granted = granted, tokens = tokens, rate = rate, backoff = backoff, others = others, reserved = reserved or 0, paused = paused,
    recent = state.recent, public = public or 0,
    limited_since = passed_s * 1000 < GONE_MS and limited_since or 0, -- without a claim, the limit is not the cause
    held_from = held_from or 0, held_until = held_until or 0,
  }
end

-- Returns  ms to the next token
local function write_pace(key, pace, spent, now_ms)
  pace.tokens = pace.tokens - spent
  redis.call('HSET', key, 'tokens', string.format('%.4f', pace.tokens), 'at', string.format('%.3f', now_ms),
    'backoff', pace.backoff, 'others', string.format('%.2f', pace.others),
    'reserved', string.format('%.2f', pace.reserved), 'public', string.format('%.2f', pace.public),
    'limited_since', string.format('%d', pace.limited_since), -- epoch ms; 0 while calls wait for nothing
    'recent', pace.recent + spent, -- for the drain that comes after this one
    'rate', string.format('%.4f', pace.rate)) -- for whoever asks how fast this lane is, see workload.py
  return math.max(pace.paused, wait_for_one(pace.tokens, pace.rate))
end

-- The ceiling over all lanes. Those that wait for it take turns: none gets ahead of another by more than a lot. `clock` is
-- how far the turns have got: a lane that did not wait begins there, and has nothing saved up.
local function read_ceiling(key, limit, share, lane, now_ms)
  local flat, all = redis.call('HGETALL', key), {}
  for i = 1, #flat, 2 do all[flat[i]] = tonumber(flat[i + 1]) end
  local tokens = filled(all.tokens, all.at, limit * share, math.max(1, limit * (1 - share)), now_ms)
  local clock, turn, first = all.clock or 0, math.max(all['turn:' .. lane] or 0, all.clock or 0), nil
  for field, asked in pairs(all) do
    local waits = asked > now_ms - GONE_MS and string.match(field, '^asked:(.+)')
    if waits == lane then
      turn = all['turn:' .. lane]
    elseif waits then
      first = math.min(first or all['turn:' .. waits], all['turn:' .. waits])
    end
  end
  local lot = math.max(1, limit / 50)
  local granted = math.max(0, math.floor(first and math.min(tokens, first + lot - turn) or tokens))
  return {granted = granted, tokens = tokens, rate = limit * share, lane = lane, turn = turn, clock = clock}
end

-- Returns  ms to this lane's next chance
local function write_ceiling(key, ceiling, spent, wants_more, now_ms)
  ceiling.tokens = ceiling.tokens - spent
  redis.call('HSET', key, 'tokens', string.format('%.4f', ceiling.tokens), 'at', string.format('%.3f', now_ms),
    'turn:' .. ceiling.lane, string.format('%.4f', ceiling.turn + spent),
    'clock', string.format('%.4f', spent > 0 and ceiling.turn or ceiling.clock))
  redis.call('PEXPIRE', key, 3600000)
  if not wants_more then
    redis.call('HDEL', key, 'asked:' .. ceiling.lane)
    return 0
  end
  redis.call('HSET', key, 'asked:' .. ceiling.lane, string.format('%d', now_ms))
  return math.max(SHORTEST_MS, wait_for_one(ceiling.tokens, ceiling.rate))
end
