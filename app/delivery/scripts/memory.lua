-- What is known of people under the ids that trackers call them by. The first part of every script that changes it.
--
-- KEYS  among others `{destination}:memory:NAME`, the records, and `{destination}:contact:DIGEST`, the contacts: which
--       records hold an e-mail address or phone number, by when that was last said (epoch s)
-- A record is JSON: {v: 1, seen: epoch ms, facts: {what: [value, epoch ms it was said]}, listed: [DIGEST of a contact],
-- was: [NAME that an alias joined to this one]}, or {v: 1, to: NAME} once an alias joined this one to another.
local ids_of_a_contact = 100 -- what more ids share is a placeholder: nobody else is remembered by it
local contacts_of_an_id = 20 -- an id that had more is a placeholder ("guest"): it is nobody's, and nothing is remembered
local longest_chain = 16 -- of aliases; a longer one is cut
local places = {} -- NAME of a record → its index into KEYS

local function name_at(index)
  return string.match(KEYS[index], ':memory:(.+)$')
end

local function find_records()
  for index = 1, #KEYS do
    local name = name_at(index)
    if name then places[name] = index end
  end
end

local function is_record(record)
  if type(record) ~= 'table' or record.v ~= 1 then return false end
  if record.to then return type(record.to) == 'string' end
  if type(record.facts) ~= 'table' or type(record.listed or {}) ~= 'table' or type(record.was or {}) ~= 'table' then
    return false
  end
  for _, fact in pairs(record.facts) do
    if type(fact) ~= 'table' or type(fact[2]) ~= 'number' then return false end
  end
  return true
end

-- What cannot be read counts as absent, and is written anew.
local function read(index)
  local ok, record = pcall(cjson.decode, redis.pcall('GET', KEYS[index]))
  return ok and is_record(record) and record or nil
end

local function write(index, record, life_s)
  redis.call('SET', KEYS[index], cjson.encode(record), 'EX', life_s)
end

local function extend(key, life_s)
  if redis.call('TTL', key) < life_s then redis.call('EXPIRE', key, life_s) end
end

-- Where what is known under `name` is kept, and the record. Puts into `missing` the name whose key is needed for that.
local function find(name, missing)
  local first = places[name]
  for _ = 1, longest_chain do
    local index = places[name]
    local record = read(index)
    if not record or not record.to then return index, record end
    if not places[record.to] then
      missing[#missing + 1] = record.to
      return nil
    end
    name = record.to
  end
  return first, nil
end

-- Of these steps, the keys that are needed beside those given. With none missing, every step can be taken.
local function missing_for(steps)
  local missing = {}
  for _, step in ipairs(steps) do
    for _, name in ipairs(step.names) do find(name, missing) end
    for _, name in ipairs(step.previous or {}) do find(name, missing) end
  end
  return missing
end

local function add(list, value)
  for _, known in ipairs(list) do
    if known == value then return list end
  end
  list[#list + 1] = value
  if #list > ids_of_a_contact then table.remove(list, 1) end
  return list
end

-- A user's id as all sources know it: without the source's name. Nil for an anonymous id.
local function user_in(name)
  return string.match(name, ':(u%x+)$')
end

local function users_of(contact)
  local users, some = {}, false
  for _, name in ipairs(redis.call('ZRANGE', contact, 0, -1)) do
    local user = user_in(name)
    if user then users[user], some = true, true end
  end
  return some and users
end

local function users_named(name, record)
  local users = {[user_in(name)] = true}
  for _, before in ipairs(record.was or {}) do users[user_in(before) or before] = true end
  return users
end

-- Whether what this step says in one breath belongs to people who were apart: the user of its first name, and those who
-- have its contacts. Each of these is a set of user ids, three at the most; they are one person when they hang together.
local function would_join(step)
  local groups = {}
  local index, record = find(step.names[1])
  if record and record.listed then groups[1] = users_named(name_at(index), record) end
  for _, contact in pairs(step.contacts) do groups[#groups + 1] = users_of(KEYS[contact]) or nil end
  local overlaps = 0
  for i = 1, #groups - 1 do
    for j = i + 1, #groups do
      for user in pairs(groups[i]) do
        if groups[j][user] then
          overlaps = overlaps + 1
          break
        end
      end
    end
  end
  return overlaps < #groups - 1
end

-- Enters a record in the list of a contact, unless too many are there.
local function list(record, name, contact, step)
  local key = KEYS[contact]
  local taken = redis.call('ZCARD', key) >= ids_of_a_contact and not redis.call('ZSCORE', key, name)
  if taken then return false end
  redis.call('ZADD', key, math.floor(step.now / 1000), name)
  extend(key, step.life)
  record.listed = add(record.listed or {}, string.match(key, ':contact:(%x+)$'))
  return true
end

local function count_person(step, name)
  redis.call('PFADD', KEYS[step.people], name)
  redis.call('EXPIRE', KEYS[step.people], 2 * step.life)
end

-- The newest word on each fact counts, in whatever order they come.
local function learn(step)
  local verdict = step.joins and would_join(step) and step.joins or ''
  if verdict == 'hold' then return verdict end
  for _, name in ipairs(step.names) do
    local index, record = find(name)
    local holder = name_at(index)
    record = record or {v = 1, facts = {}}
    for what, value in pairs(step.facts) do
      local contact = step.contacts[what]
      if not contact or list(record, holder, contact, step) then
        local known = record.facts[what]
        if not known or step.at >= known[2] then record.facts[what] = {value, step.at} end
      end
    end
    if #(record.listed or {}) > contacts_of_an_id then record.facts = {} end
    record.seen = step.now
    write(index, record, step.life)
    extend(KEYS[places[name]], step.life)
    count_person(step, holder)
  end
  return verdict
end

-- The person of the previous names is the one of the name: their facts become one record, and the names lead to it.
local function alias(step)
  for _, name in ipairs(step.previous) do
    local from, old = find(name)
    local to, record = find(step.names[1])
    if from ~= to then
      old, record = old or {facts = {}}, record or {v = 1, facts = {}}
      for what, fact in pairs(old.facts) do
        local known = record.facts[what]
        if not known or fact[2] > known[2] then record.facts[what] = fact end
      end
      for _, digest in ipairs(old.listed or {}) do record.listed = add(record.listed or {}, digest) end
      record.was = add(record.was or {}, name_at(from))
      for _, before in ipairs(old.was or {}) do add(record.was, before) end
      record.seen = step.now
      write(to, record, step.life)
      write(from, {v = 1, to = name_at(to)}, step.life)
    end
  end
  return ''
end

-- Somebody's memory was of use: it lives on.
local function see(step)
  for _, name in ipairs(step.names) do
    local index, record = find(name)
    if record then
      record.seen = step.now
      write(index, record, step.life)
      extend(KEYS[places[name]], step.life)
      for _, contact in pairs(step.contacts) do extend(KEYS[contact], step.life) end
      count_person(step, name_at(index))
    end
  end
  return ''
end

-- Takes one step. Returns 'send' or 'hold' for one that would join two people, else ''.
local function take(step)
  if step['do'] == 'learn' then return learn(step) end
  if step['do'] == 'alias' then return alias(step) end
  return see(step)
end
