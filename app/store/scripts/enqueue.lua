-- Takes in the events of one source in a flush, all or nothing: drops a message id seen before, leaves out calls that change nothing
-- about a person, appends the others to their lanes, and updates the profiles of the people that they are about.
-- In one step, because deduplicating in one and appending in another loses the event when the process dies in between.
--
-- lists      the seen sets, the current one first; then per lane: lease, generation, its streams; then the keys of what
--            was last sent to whom; then those that profiles.lua needs
-- source  of all these events    most_letters, most_bytes  dead letters that it may have    evicted  a field of the counters
-- lanes, count, updates  how many lanes, events and profile updates    lessons  what events count and which attributes they are the first to have,
--            as JSON by number of the event (from 1), {"1": {"counts": [field of the counters, …], "attributes":
--            {name: type, …}}}, or ''
-- rows       for the journal's index    of_rows  '1' where the events are rows of a sync, whose endings are stored for it
-- events_at  the key of each event; then per event: message id, journal record, number of entries and, where it does not
--            wait, a field of the counters after a blank, and per entry: place, payload. A place is the index into KEYS of
--            its stream, 0 for a dead letter; where the call has a fingerprint, after a blank the number of its key (from 1; "1:2" of its
--            hash, and of the key that an earlier release kept it in; for consent
--            "1,2/3600/3,4/out": of each contact, how long an equal one is left out, in s, where the opt-outs of the contacts
--            are remembered, and "in" or "out"), after another blank its digest, and behind that its name in the hash.
--            Then per update: number of its event (from 1), the update as JSON
-- Returns  how many were repeats, then for each lane without a drain: its number (from 0), its generation;
--          or, with nothing done: 'more', the NAMEs of records that are needed among KEYS too
lanes, count, updates = tonumber(lanes), tonumber(count), tonumber(updates)
keys_of_a_lane = tonumber(keys_of_a_lane)
of_rows = of_rows == '1'
local lanes_at = lists_at + tonumber(seen_sets)
local last_sent_at = lanes_at + keys_of_a_lane * lanes

local at_once = 1000 -- arguments of one call: Lua's stack is bounded

-- Numbers of the events that were seen before, here or in an earlier flush. All others are seen from now on. Asked for
-- all together, because an event alone would cost a call for each set.
local function find_repeats()
  local repeats, new, is_new = {}, {}, {}
  for from = 1, count, at_once do
    local to = math.min(count, from + at_once - 1)
    for set = lists_at, lanes_at - 1 do
      for place, known in ipairs(redis.call('SMISMEMBER', KEYS[set], unpack(ARGV, events_at - 1 + from, events_at - 1 + to))) do
        if known == 1 then repeats[from + place - 1] = true end
      end
    end
  end
  for event = 1, count do
    local key = ARGV[events_at - 1 + event]
    if is_new[key] then repeats[event] = true end
    if not repeats[event] then
      is_new[key] = true
      new[#new + 1] = key
    end
  end
  for from = 1, #new, at_once do
    redis.call('SADD', KEYS[lists_at], unpack(new, from, math.min(#new, from + at_once - 1)))
  end
  return repeats
end

local function last_sent_key(number)
  return KEYS[last_sent_at - 1 + tonumber(number)]
end

-- Whether one of these contacts has opted out. It counts for rows alone: any other opt-in is the person's own, and ends it.
local function has_opted_out(numbers)
  for number in string.gmatch(numbers, '%d+') do
    if redis.call('EXISTS', last_sent_key(number)) == 1 then return true end
  end
  return false
end

local function note_consent(numbers, way)
  for number in string.gmatch(numbers, '%d+') do
    if way == 'out' then
      redis.call('SET', last_sent_key(number), redis.call('TIME')[1], 'EX', opted_out_life_s)
    else
      redis.call('DEL', last_sent_key(number))
    end
  end
end

-- Whether the last consent call about each of these contacts was equal, accepted or on its way, within `life` seconds. If
-- not, this is the last one from now on. It is stored with its time, for as long as any rule needs it.
local function consented_lately(numbers, life, digest)
  local now, news = tonumber(redis.call('TIME')[1]), false
  for number in string.gmatch(numbers, '%d+') do
    local last = redis.call('GET', last_sent_key(number))
    local same = last and string.sub(last, 2, 1 + #digest) == digest
    if not same or now - tonumber(string.sub(last, 2 + #digest)) >= life then news = true end
  end
  for number in string.gmatch(numbers, '%d+') do
    local key = last_sent_key(number)
    local keep = math.max(life, redis.call('TTL', key))
    if news then redis.call('SET', key, 'p' .. digest .. now, 'EX', keep) else redis.call('EXPIRE', key, keep) end
  end
  return not news
end

-- Whether the last call about this person was equal and accepted. If not, this is the last one from now on. An opt-in of
-- a row after an opt-out is not, and has an ending of its own as the second result.
local function is_unchanged(about, digest)
  local contacts, life, outs, way = string.match(about, '^(.+)/(%d+)/(.+)/(%l+)$')
  if contacts then
    if of_rows and way == 'in' and has_opted_out(outs) then return true, opted_out end
    note_consent(outs, way)
    return consented_lately(contacts, tonumber(life), digest)
  end
  local hash, own = string.match(about, '^(%d+):(%d+)$')
  if hash then return not replace_last(last_sent_key(hash), last_sent_key(own), digest) end
  local key = last_sent_key(about)
  if redis.call('GET', key) == 'd' .. digest then return true end
  redis.call('SET', key, 'p' .. digest, 'EX', last_sent_life_s)
  return false
end

local updates_of = {} -- number of an event → its updates
if updates > 0 then
  local all = {}
  for i = #ARGV - 2 * updates + 1, #ARGV, 2 do
    local event, update = tonumber(ARGV[i]), cjson.decode(ARGV[i + 1])
    updates_of[event] = updates_of[event] or {}
    table.insert(updates_of[event], update)
    all[#all + 1] = update
  end
  find_records(last_sent_at)
  local missing = missing_for(all)
  if #missing > 0 then return {'more', missing} end
end

-- Makes the profile updates of an event. Returns which of its entries count, first and last, and its ending: where merges
-- are blocked, the calls that would merge two people are not sent, and those behind them are.
local function update_profiles(event, message_id, entries, ending)
  local first, last = 1, entries
  for _, update in ipairs(updates_of[event]) do
    local verdict, why = apply(update)
    if update.calls and verdict == 'block' then
      first, ending = update.calls + 1, update.ending
    elseif update.calls then
      last = update.calls
    end
    if verdict ~= '' and update.counter then
      local facts = '{"identifiers":"of ' .. (why and 'many' or 'two') .. ' people","link":"'
        .. (verdict == 'block' and 'blocked' or 'sent') .. '"}'
      redis.call('XADD', journal, '*', 'm', message_id, 's', 'merge', 'd', facts)
      redis.call('HINCRBY', counters, why and update.shared or update.counter, 1)
    end
  end
  return first, last, ending
end

lessons = lessons ~= '' and cjson.decode(lessons) -- or false

local function learn(lesson)
  for _, field in ipairs(lesson.counts) do redis.call('HINCRBY', counters, field, 1) end
  for name, kind in pairs(lesson.attributes) do
    local known = redis.call('HGET', attributes, name)
    local defines = known and string.sub(known, -1) == '?' and string.sub(kind, -1) ~= '?' -- provisional until then
    if defines or (not known and redis.call('HLEN', attributes) < tonumber(most_attributes)) then
      redis.call('HSET', attributes, name, kind)
    end
  end
end

local is_repeat, first_noted = find_repeats(), nil
local repeats, left_out, endings, arg = 0, 0, {}, events_at + count
local waiting, waiting_bytes, buried = 0, 0, false
for event = 1, count do
  local message_id, record, entries, ending = ARGV[arg], ARGV[arg + 1], tonumber(ARGV[arg + 2]), ''
  if not entries then
    entries, ending = string.match(ARGV[arg + 2], '^(%d+) (.+)$')
    entries = tonumber(entries)
  end
  arg = arg + 3
  if is_repeat[event] then
    repeats = repeats + 1
    local noted = redis.call('XADD', journal, '*', 'm', message_id, 's', 'repeat', 'd', '')
    first_noted = first_noted or noted
  else
    local noted = redis.call('XADD', journal, '*', 'm', message_id, 's', 'received', 'd', record)
    first_noted = first_noted or noted
    if lessons and lessons[tostring(event)] then learn(lessons[tostring(event)]) end
    local appended, refused = 0, nil
    local first, last = 1, entries
    if updates_of[event] then first, last, ending = update_profiles(event, message_id, entries, ending) end
    for i = arg + 2 * (first - 1), arg + 2 * (last - 1), 2 do
      local place, about, digest = tonumber(ARGV[i]), nil, nil
      if not place then
        place, about, digest = string.match(ARGV[i], '^(%d+) (%S+) (.+)$')
        place = tonumber(place)
      end
      local stream = KEYS[place]
      local left, why
      if about then left, why = is_unchanged(about, digest) end
      if left then
        left_out = left_out + 1
        refused = refused or why
        local facts = '{"endpoint":"' .. string.match(stream, ':lane:(.+):%a+$')
          .. (why and '","reason":"' .. string.match(why, '[^:]+$') or '') .. '"}'
        redis.call('XADD', journal, '*', 'm', message_id, 's', 'unchanged', 'd', facts)
      else
        appended = appended + 1
        if place == 0 then
          add_letter(dead, dead_kept, source, ARGV[i + 1])
          buried = true
        else
          redis.call('XADD', stream, '*', 'd', ARGV[i + 1])
          if place >= lists_at then waiting, waiting_bytes = waiting + 1, waiting_bytes + #ARGV[i + 1] end
        end
      end
    end
    if ending == '' and appended == 0 then ending = refused or unchanged end
    if ending ~= '' then
      endings[ending] = (endings[ending] or 0) + 1
      if of_rows then redis.call('HSET', row_outcomes, ARGV[events_at - 1 + event], ending) end
    elseif last > first then
      redis.call('HSET', parts, ARGV[events_at - 1 + event], appended)
    end
  end
  arg = arg + 2 * entries
end

if waiting > 0 then
  redis.call('HINCRBY', backlog, 'calls:' .. source, waiting)
  redis.call('HINCRBY', backlog, 'bytes:' .. source, waiting_bytes)
end
if buried then evict(dead, dead_kept, source, tonumber(most_letters), tonumber(most_bytes), evicted) end
redis.call('XTRIM', journal, 'MAXLEN', '~', journal_entries)
index_entries(first_noted, rows)
redis.call('EXPIRE', KEYS[lists_at], seen_life_s)
redis.call('HINCRBY', counters, received, count)
if repeats > 0 then redis.call('HINCRBY', counters, duplicate, repeats) end
if left_out > 0 then redis.call('HINCRBY', counters, unchanged_calls, left_out) end
for ending, count in pairs(endings) do redis.call('HINCRBY', counters, ending, count) end

local answer = {repeats}
for lane = 0, lanes - 1 do
  local first = lanes_at + keys_of_a_lane * lane
  if redis.call('EXISTS', KEYS[first]) == 0 then
    answer[#answer + 1] = lane
    answer[#answer + 1] = tonumber(redis.call('GET', KEYS[first + 1]) or '0')
  end
end
return answer
