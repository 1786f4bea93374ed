-- Takes in the events of one flush, all or nothing: drops a message id seen before, leaves out calls that say nothing new
-- about a person, appends the others to their lanes, and enters in memory what they tell of people.
-- In one step, because deduplicating in one and appending in another loses the event when the process dies in between.
--
-- KEYS  seen sets (current first), journal, dead, books, parts, attributes, deletions; then per lane: lease, turn, its four
--       streams; then what was last said to whom; then what memory.lua wants
-- ARGV  number of seen sets, their life in s, journal length, number of lanes, number of events, life of what was said in
--       s, number of memory's steps; what events count and which attributes they are the first to have, as JSON by number of
--       the event (from 1), {"1": {"counts": [field of the books, …], "attributes": {name: type, …}}}, or ''; how many
--       attributes are kept; then the key of each event; then per event: message id, journal record, number of entries and,
--       where it does not wait, a field of the books after a blank ("1 dead:too_old"), and per entry: place, payload. A
--       place is the index into KEYS of its stream; where the call says what may have been said before, after a blank the
--       number of what was last said (from 1; for consent "1,2/3600": of each contact, and how long the same is left out,
--       in s), after another the digest of what this says. Then per step: number of its event (from 1), the step as JSON
-- Returns  how many were repeats, then for each lane without a drain: its number (from 0), its turn;
--          or, with nothing done: 'more', the NAMEs of records that are needed among KEYS too
local seen_sets = tonumber(ARGV[1])
local fixed = seen_sets + 6
local journal, dead, books = KEYS[seen_sets + 1], KEYS[seen_sets + 2], KEYS[seen_sets + 3]
local parts, attributes = KEYS[seen_sets + 4], KEYS[seen_sets + 5]
local lanes, events = tonumber(ARGV[4]), tonumber(ARGV[5])

local at_once = 1000 -- arguments of one call: Lua's stack is bounded

-- Numbers of the events that were seen before, here or in an earlier flush. All others are seen from now on. Asked for all
-- together, for an event alone would cost a call for each set.
local function find_repeats()
  local repeats, new, is_new = {}, {}, {}
  for from = 1, events, at_once do
    local to = math.min(events, from + at_once - 1)
    for set = 1, seen_sets do
      for place, known in ipairs(redis.call('SMISMEMBER', KEYS[set], unpack(ARGV, 9 + from, 9 + to))) do
        if known == 1 then repeats[from + place - 1] = true end
      end
    end
  end
  for event = 1, events do
    local key = ARGV[9 + event]
    if is_new[key] then repeats[event] = true end
    if not repeats[event] then
      is_new[key] = true
      new[#new + 1] = key
    end
  end
  for from = 1, #new, at_once do
    redis.call('SADD', KEYS[1], unpack(new, from, math.min(#new, from + at_once - 1)))
  end
  return repeats
end

local function said_key(number)
  return KEYS[fixed + 6 * lanes + tonumber(number)]
end

-- Whether the last word about each of these contacts was the same, accepted or on its way, within `life` seconds. If not,
-- this is the last word from now on. It is remembered for as long as anybody wanted it to be, with its time.
local function consented_lately(numbers, life, digest)
  local now, news = tonumber(redis.call('TIME')[1]), false
  for number in string.gmatch(numbers, '%d+') do
    local last = redis.call('GET', said_key(number))
    local same = last and string.sub(last, 2, 1 + #digest) == digest
    if not same or now - tonumber(string.sub(last, 2 + #digest)) >= life then news = true end
  end
  for number in string.gmatch(numbers, '%d+') do
    local key = said_key(number)
    local keep = math.max(life, redis.call('TTL', key))
    if news then redis.call('SET', key, 'p' .. digest .. now, 'EX', keep) else redis.call('EXPIRE', key, keep) end
  end
  return not news
end

-- Whether the last call about this person said the same and was accepted. If not, this is the last one from now on.
local function says_nothing_new(said, digest)
  local contacts, life = string.match(said, '^(.+)/(%d+)$')
  if contacts then return consented_lately(contacts, tonumber(life), digest) end
  local key = said_key(said)
  if redis.call('GET', key) == 'd' .. digest then return true end
  redis.call('SET', key, 'p' .. digest, 'EX', ARGV[6])
  return false
end

local steps_of = {} -- number of an event → its steps
if tonumber(ARGV[7]) > 0 then
  local steps = {}
  for i = #ARGV - 2 * tonumber(ARGV[7]) + 1, #ARGV, 2 do
    local event, step = tonumber(ARGV[i]), cjson.decode(ARGV[i + 1])
    steps_of[event] = steps_of[event] or {}
    table.insert(steps_of[event], step)
    steps[#steps + 1] = step
  end
  find_records()
  local missing = missing_for(steps)
  if #missing > 0 then return {'more', missing} end
end

-- Enters in memory what an event tells. Returns which of its entries count, first and last, and its ending: where joins
-- are held, the calls that would make two people one are not sent, and those behind them are.
local function remember(event, message_id, entries, ending)
  local first, last = 1, entries
  for _, step in ipairs(steps_of[event]) do
    local verdict = take(step)
    if verdict == 'hold' then
      first, ending = step.calls + 1, step.ending
    elseif step.joins == 'hold' then
      last = step.calls
    end
    if verdict ~= '' then
      local facts = '{"identifiers":"of two people","identity call":"' .. (verdict == 'hold' and 'held' or 'sent') .. '"}'
      redis.call('XADD', journal, '*', 'm', message_id, 's', 'join', 'd', facts)
      redis.call('HINCRBY', books, 'join:' .. verdict .. ':' .. string.match(step.names[1], '^(.-):'), 1)
    end
  end
  return first, last, ending
end

local lessons = ARGV[8] ~= '' and cjson.decode(ARGV[8]) -- or false

local function learn(lesson)
  for _, field in ipairs(lesson.counts) do redis.call('HINCRBY', books, field, 1) end
  for name, kind in pairs(lesson.attributes) do
    if redis.call('HLEN', attributes) < tonumber(ARGV[9]) then redis.call('HSETNX', attributes, name, kind) end
  end
end

local is_repeat = find_repeats()
local repeats, unchanged, endings, arg = 0, 0, {}, 10 + events
for event = 1, events do
  local message_id, record, entries, ending = ARGV[arg], ARGV[arg + 1], tonumber(ARGV[arg + 2]), ''
  if not entries then
    entries, ending = string.match(ARGV[arg + 2], '^(%d+) (.+)$')
    entries = tonumber(entries)
  end
  arg = arg + 3
  if is_repeat[event] then
    repeats = repeats + 1
    redis.call('XADD', journal, '*', 'm', message_id, 's', 'repeat', 'd', '')
  else
    redis.call('XADD', journal, '*', 'm', message_id, 's', 'received', 'd', record)
    if lessons and lessons[tostring(event)] then learn(lessons[tostring(event)]) end
    local appended = 0
    local first, last = 1, entries
    if steps_of[event] then first, last, ending = remember(event, message_id, entries, ending) end
    for i = arg + 2 * (first - 1), arg + 2 * (last - 1), 2 do
      local place, said, digest = tonumber(ARGV[i]), nil, nil
      if not place then
        place, said, digest = string.match(ARGV[i], '^(%d+) (%S+) (.+)$')
        place = tonumber(place)
      end
      local stream = KEYS[place]
      if said and says_nothing_new(said, digest) then
        unchanged = unchanged + 1
        local facts = '{"endpoint":"' .. string.match(stream, ':lane:(.+):%a+$') .. '"}'
        redis.call('XADD', journal, '*', 'm', message_id, 's', 'unchanged', 'd', facts)
      else
        appended = appended + 1
        redis.call('XADD', stream, '*', 'd', ARGV[i + 1])
      end
    end
    if ending == '' and appended == 0 then ending = 'dropped:nothing_new' end
    if ending ~= '' then
      endings[ending] = (endings[ending] or 0) + 1
    elseif last > first then
      redis.call('HSET', parts, ARGV[9 + event], appended)
    end
  end
  arg = arg + 2 * entries
end

redis.call('XTRIM', journal, 'MAXLEN', '~', ARGV[3])
redis.call('EXPIRE', KEYS[1], ARGV[2])
redis.call('HINCRBY', books, 'received', events)
if repeats > 0 then redis.call('HINCRBY', books, 'dropped:duplicate', repeats) end
if unchanged > 0 then redis.call('HINCRBY', books, 'unchanged', unchanged) end
for ending, count in pairs(endings) do redis.call('HINCRBY', books, ending, count) end

local answer = {repeats}
for lane = 0, lanes - 1 do
  local first = fixed + 6 * lane + 1
  if redis.call('EXISTS', KEYS[first]) == 0 then
    answer[#answer + 1] = lane
    answer[#answer + 1] = tonumber(redis.call('GET', KEYS[first + 1]) or '0')
  end
end
return answer
