-- Ends attempts: each delivery leaves its stream and, in the same step, is done, waits for another attempt (or, back in
-- its stream, for the end of a hold), is a dead letter, or has an unknown outcome. An entry that another drain settled
-- is left alone, so that a drain that was thought dead changes nothing.
--
-- limit      of the lane by Attentive's answers, or ''    throttled  1 after a 429
-- answered, failed  calls                                 count      of deliveries
-- most_letters, most_bytes     of each source on a queue
-- evicted_dead, evicted_review fields of the counters for what a source had too much of there, without the source
-- Each delivery: stream number, entry id, verb (done | retry | held | dead | dropped | unknown), event key, calls of that event,
-- message id, journal record, ending (a field of the counters, when the verb is dead, dropped or unknown), another field that
-- counts this or '', when due (epoch ms), payload (of an unknown outcome that is not kept: ''), a dead letter of a part of
-- a call that is retried without it or '', indexes into KEYS of what was last sent, with commas (0: no fingerprint; "1:2":
-- its hash, and the key that an earlier release kept it in), its digest and behind that its name in the hash, source, bytes
-- of the payload that was claimed, rows for the journal's index, a call to record or '', rows for the index of the recorded
-- calls.
-- Returns  how many were settled here
-- A full Redis refuses a script whose first write takes memory. This one takes none and lets the others through: attempts
-- must be settled when Redis is full, because nothing else makes room.
redis.call('PEXPIRE', pace, 3600000)
if tonumber(lane_hold_ms) > 0 then redis.call('SET', lane_hold, hold_reason, 'PX', lane_hold_ms) end
if tonumber(destination_hold_ms) > 0 then
  redis.call('SET', destination_hold, hold_reason, 'PX', destination_hold_ms)
end

local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
if limit ~= '' then redis.call('HSET', pace, 'limit', limit) end
if throttled == '1' then
  -- Calls that were under way together are refused together: they halve the pace once.
  local backoff = redis.call('HMGET', pace, 'backoff', 'backoff_at')
  if now_ms - tonumber(backoff[2] or 0) > 1000 then
    redis.call('HSET', pace, 'backoff', math.max(0.05, tonumber(backoff[1] or 1) / 2), 'backoff_at', now_ms)
  end
end
if tonumber(pause_ms) > 0 then redis.call('HSET', pace, 'pause', now_ms + tonumber(pause_ms)) end
if tonumber(answered) > 0 then
  redis.call('HDEL', pace, 'failures', 'stops')
elseif tonumber(failed) > 0 then
  local failures = redis.call('HINCRBY', pace, 'failures', failed)
  if failures >= tonumber(failures_to_stop) and redis.call('EXISTS', lane_hold) == 0 then
    local stops = redis.call('HINCRBY', pace, 'stops', 1)
    local stop_ms = math.min(tonumber(longest_stop_ms), 1000 * 2 ^ math.min(stops - 1, 10))
    redis.call('SET', lane_hold, 'Attentive does not answer', 'PX', string.format('%d', stop_ms))
  end
end

local digest_bytes = 12

-- Accepted: stored as what was last sent. Given up: removed. Unless something newer about the person is on its way.
-- This is for a fingerprint in a hash, see last_sent.lua. Returns whether it was there.
local function conclude_in_hash(hash, about, accepted)
  local digest, name = string.sub(about, 1, digest_bytes), string.sub(about, digest_bytes + 1)
  local last = redis.call('HGET', hash, name)
  if not last or string.sub(last, 1, -3) ~= 'p' .. digest then return false end
  if accepted then
    redis.call('HSET', hash, name, 'd' .. string.sub(last, 2))
  else
    redis.call('HDEL', hash, name)
  end
  return true
end

-- The same for what has a key of its own.
local function conclude_fingerprint(indexes, digest, accepted)
  if indexes == '0' then return end
  local hash, own = string.match(indexes, '^(%d+):(%d+)$')
  if hash then
    if conclude_in_hash(KEYS[tonumber(hash)], digest, accepted) then return end
    indexes, digest = own, string.sub(digest, 1, digest_bytes) -- an earlier release stored it in a key of its own
  end
  for index in string.gmatch(indexes, '%d+') do
    local key = KEYS[tonumber(index)]
    local last = redis.call('GET', key)
    if last and string.sub(last, 1, 1 + #digest) == 'p' .. digest then
      if accepted then
        redis.call('SET', key, 'd' .. string.sub(last, 2), 'KEEPTTL')
      else
        redis.call('DEL', key)
      end
    end
  end
end

local settled, arg, changes, buried = 0, ends_at, {}, {dead = {}, review = {}}
local first_noted, rows_noted, recorded = nil, {}, false

local function bury(source, letter)
  add_letter(dead, dead_kept, source, letter)
  buried.dead[source] = true
end

for _ = 1, tonumber(count) do
  local stream, id, verb, key = KEYS[streams_at + tonumber(ARGV[arg])], ARGV[arg + 1], ARGV[arg + 2], ARGV[arg + 3]
  local calls, message_id, record, ending = tonumber(ARGV[arg + 4]), ARGV[arg + 5], ARGV[arg + 6], ARGV[arg + 7]
  local counted, payload, dead_letter = ARGV[arg + 8], ARGV[arg + 10], ARGV[arg + 11]
  local indexes, digest, source = ARGV[arg + 12], ARGV[arg + 13], ARGV[arg + 14]
  local rows, call, call_rows = ARGV[arg + 16], ARGV[arg + 17], ARGV[arg + 18]
  if redis.call('XACK', stream, group, id) == 1 then
    settled = settled + 1
    redis.call('XDEL', stream, id)
    if dead_letter ~= '' then bury(source, dead_letter) end
    local waits = verb == 'retry' or verb == 'held'
    local totals = changes[source] or {calls = 0, bytes = 0}
    changes[source] = totals
    totals.bytes = totals.bytes - tonumber(ARGV[arg + 15]) + (waits and #payload or 0)
    if not waits then totals.calls = totals.calls - 1 end
    if verb == 'retry' then
      -- Two calls of one event may be equal, and a set would keep one: a space after the head's JSON tells the
      -- other.
      local head, rest = string.match(payload, '^([^\n]*)(.*)$')
      while redis.call('ZADD', retry, 'NX', ARGV[arg + 9], ARGV[arg] .. head .. rest) == 0 do
        head = head .. ' '
        totals.bytes = totals.bytes + 1
      end
    elseif verb == 'held' then
      redis.call('XADD', stream, '*', 'd', payload)
    elseif verb == 'dead' then
      bury(source, payload)
      conclude_fingerprint(indexes, digest, false)
      close(key, calls, ending)
    elseif verb == 'dropped' then
      conclude_fingerprint(indexes, digest, false)
      close(key, calls, ending)
    elseif verb == 'unknown' then
      if payload ~= '' then
        add_letter(review, review_kept, source, payload)
        buried.review[source] = true
      end
      close(key, calls, ending)
    else
      conclude_fingerprint(indexes, digest, true)
      close(key, calls, nil)
    end
    if counted ~= '' then redis.call('HINCRBY', counters, counted, 1) end
    if record ~= '' then
      local noted = add_entry('m', message_id, 's', 'attempt', 'd', record)
      first_noted = first_noted or noted
      rows_noted[#rows_noted + 1] = rows
      if call ~= '' then
        recorded = true
        record_call(noted, call, call_rows)
      end
    end
  end
  arg = arg + 19
end
for source, totals in pairs(changes) do
  redis.call('HINCRBY', backlog, 'calls:' .. source, totals.calls)
  redis.call('HINCRBY', backlog, 'bytes:' .. source, totals.bytes)
end
most_letters, most_bytes = tonumber(most_letters), tonumber(most_bytes)
for source in pairs(buried.dead) do
  evict(dead, dead_kept, source, most_letters, most_bytes, evicted_dead .. source)
end
for source in pairs(buried.review) do
  evict(review, review_kept, source, most_letters, most_bytes, evicted_review .. source)
end
if first_noted then index_entries(first_noted, table.concat(rows_noted)) end
if recorded then trim_calls(tonumber(most_calls), tonumber(most_call_bytes), 0) end
return settled
