-- Takes in the events of one flush, all or nothing: drops a message id seen before, leaves out calls that say nothing new
-- about a person, appends the others to their lanes.
-- In one step, because deduplicating in one and appending in another loses the event when the process dies in between.
--
-- KEYS  seen sets (current first), journal, dead, books, parts; then per lane: high, normal, low, lease, turn; then what
--       was last said to whom
-- ARGV  number of seen sets, their life in s, journal length, number of lanes, number of events, life of what was said in
--       s; then per event: event key, message id, journal record, ending ('' while it waits, else a field of the books),
--       number of entries, and per entry: index into KEYS of its stream, payload, number of what was last said (from
--       1; 0: not remembered), digest of what this says
-- Returns  how many were repeats, then for each lane without a drain: its number (from 0), its turn
local seen_sets = tonumber(ARGV[1])
local fixed = seen_sets + 4
local journal, dead, books, parts = KEYS[seen_sets + 1], KEYS[seen_sets + 2], KEYS[seen_sets + 3], KEYS[fixed]
local lanes, events = tonumber(ARGV[4]), tonumber(ARGV[5])

local function seen_before(key)
  for i = 2, seen_sets do
    if redis.call('SISMEMBER', KEYS[i], key) == 1 then return true end
  end
  return redis.call('SADD', KEYS[1], key) == 0
end

-- Whether the last call about this person said the same and was accepted. If not, this is the last one from now on.
local function says_nothing_new(number, digest)
  if number == 0 then return false end
  local index = fixed + 5 * lanes + number
  if redis.call('GET', KEYS[index]) == 'd' .. digest then return true end
  redis.call('SET', KEYS[index], 'p' .. digest, 'EX', ARGV[6])
  return false
end

local repeats, unchanged, endings, arg = 0, 0, {}, 7
for _ = 1, events do
  local key, message_id, record, ending = ARGV[arg], ARGV[arg + 1], ARGV[arg + 2], ARGV[arg + 3]
  local entries = tonumber(ARGV[arg + 4])
  arg = arg + 5
  if seen_before(key) then
    repeats = repeats + 1
    redis.call('XADD', journal, 'MAXLEN', '~', ARGV[3], '*', 'm', message_id, 's', 'repeat', 'd', '')
  else
    redis.call('XADD', journal, 'MAXLEN', '~', ARGV[3], '*', 'm', message_id, 's', 'received', 'd', record)
    local appended = 0
    for i = arg, arg + 4 * (entries - 1), 4 do
      local stream = KEYS[tonumber(ARGV[i])]
      if says_nothing_new(tonumber(ARGV[i + 2]), ARGV[i + 3]) then
        unchanged = unchanged + 1
        local facts = '{"endpoint":"' .. string.match(stream, ':lane:(.+):%a+$') .. '"}'
        redis.call('XADD', journal, 'MAXLEN', '~', ARGV[3], '*', 'm', message_id, 's', 'unchanged', 'd', facts)
      else
        appended = appended + 1
        redis.call('XADD', stream, '*', 'd', ARGV[i + 1])
      end
    end
    if ending == '' and appended == 0 then ending = 'dropped:nothing_new' end
    if ending ~= '' then
      endings[ending] = (endings[ending] or 0) + 1
    elseif entries > 1 then
      redis.call('HSET', parts, key, appended)
    end
  end
  arg = arg + 4 * entries
end

redis.call('EXPIRE', KEYS[1], ARGV[2])
redis.call('HINCRBY', books, 'received', events)
if repeats > 0 then redis.call('HINCRBY', books, 'dropped:duplicate', repeats) end
if unchanged > 0 then redis.call('HINCRBY', books, 'unchanged', unchanged) end
for ending, count in pairs(endings) do redis.call('HINCRBY', books, ending, count) end

local answer = {repeats}
for lane = 0, lanes - 1 do
  local first = fixed + 5 * lane
  if redis.call('EXISTS', KEYS[first + 4]) == 0 then
    answer[#answer + 1] = lane
    answer[#answer + 1] = tonumber(redis.call('GET', KEYS[first + 5]) or '0')
  end
end
return answer
