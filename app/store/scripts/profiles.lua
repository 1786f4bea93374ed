-- Stored profiles: what is known of people under the IDs that trackers use. A part of scripts that change them.
--
-- KEYS  among others `{destination}:profile:NAME`, the records, and `{destination}:contact:DIGEST`, the contacts: which
--       records hold an e-mail address, phone number or other ID, each with the hash that it is kept in, see contacts.lua.
--       What public sources claim is listed apart, under `{destination}:claim:DIGEST` of the contact and of the user ID:
--       it never outweighs them
-- A record is stored as in records.lua. As JSON it is {v: 1, seen: epoch ms, facts: {what: [value, epoch ms of the event]}, listed: [DIGEST of a contact or ID],
-- ids: [those of them that are not e-mail addresses or phone numbers], was: [NAME that an alias joined to this one]}, or {v: 1, to: NAME} once an alias joined this one to another.
local contacts_of_an_id = 20 -- an id that had more is a placeholder ("guest"): nothing is stored under it
local longest_chain = 16 -- of aliases; a longer one is cut
local most_suspicious = 1000 -- identifiers that are listed as suspicious
local places = {} -- NAME of a record → its index into KEYS
local records = {} -- those that this run has read or written, by index; false for one that is absent
local record_prefix -- begins the keys of records

local function name_at(index)
  return string.sub(KEYS[index], #record_prefix + 1)
end

local function find_records(first)
  record_prefix = (string.match(KEYS[first] or '', '^[^}]*}:') or '') .. 'profile:'
  for index = first, #KEYS do
    if string.sub(KEYS[index], 1, #record_prefix) == record_prefix then places[name_at(index)] = index end
  end
end

local function is_record(record)
  if type(record) ~= 'table' or record.v ~= 1 then return false end
  if record.to then return type(record.to) == 'string' end
  if type(record.facts) ~= 'table' then return false end
  for _, list in ipairs({'listed', 'ids', 'was'}) do
    if type(record[list] or {}) ~= 'table' then return false end
  end
  for _, fact in pairs(record.facts) do
    if type(fact) ~= 'table' or type(fact[2]) ~= 'number' then return false end
  end
  return true
end

local function read_stored(index)
  local stored = redis.pcall('GET', KEYS[index])
  if type(stored) ~= 'string' then return nil end
  local is_packed = string.byte(stored) == packed_version
  local ok, record = pcall(is_packed and unpack_record or cjson.decode, stored)
  return ok and (is_packed or is_record(record)) and record or nil
end

-- What cannot be read counts as absent, and is written anew.
local function read(index)
  if records[index] == nil then records[index] = read_stored(index) or false end
  return records[index] or nil
end

local function write(index, record, life_s)
  records[index] = record
  redis.call('SET', KEYS[index], not record.to and pack_record(record) or cjson.encode(record), 'EX', life_s)
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

-- The same for a name whose own key may be missing too.
local function locate(name, missing)
  if places[name] then return find(name, missing) end
  missing[#missing + 1] = name
  return nil
end

local function add_newest(names, contact)
  local listed = list_at(contact).names
  for i = math.max(1, #listed - most_claims + 1), #listed do names[listed[i]] = true end
end

-- The other records that hold what a claim names, by index: those of trusted sources if there are any, else the claims.
local function owners_of(update, missing)
  local own, trusted, claims = {}, {}, {}
  for _, name in ipairs(update.names) do own[locate(name, missing) or 0] = true end
  local function read_all(names)
    local owners = {}
    for name in pairs(names) do
      local index, record = locate(name, missing)
      if record and #(record.listed or {}) > 0 and not own[index] then owners[index] = record end
    end
    return owners
  end
  for _, name in ipairs(update.elsewhere) do trusted[name] = true end
  for _, contact in ipairs(update.trusted) do add_newest(trusted, contact) end
  local owners = read_all(trusted)
  if next(owners) then return owners end
  for _, contact in pairs(update.contacts) do add_newest(claims, contact) end
  if update.user > 0 then add_newest(claims, update.user) end
  return read_all(claims)
end

-- The names whose keys these updates need beside those given. With none missing, every update can be made.
local function missing_for(updates)
  local missing = {}
  for _, update in ipairs(updates) do
    if update.verified then owners_of(update, missing) end
    for _, name in ipairs(update.names) do find(name, missing) end
    for _, name in ipairs(update.previous or {}) do find(name, missing) end
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

-- A user's id as all sources know it: without the source's name and the visitor. Nil for an anonymous id.
local function user_in(name)
  return string.match(name, ':(u%x+)')
end

local function users_of(contact)
  local users, some = {}, false
  for _, name in ipairs(list_at(contact).names) do
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

-- Whether each of these sets shares a member with another, so that all of them belong together.
local function are_one(groups)
  local one, left = table.remove(groups) or {}, #groups
  while left > 0 do
    for i = left, 1, -1 do
      local shares = false
      for user in pairs(groups[i]) do shares = shares or one[user] end
      if shares then
        for user in pairs(table.remove(groups, i)) do one[user] = true end
      end
    end
    if #groups == left then return false end
    left = #groups
  end
  return true
end

-- Whether the identifiers of this update belong to different people: the user of its first name, and those who have its
-- contacts or other ids. Each of these is a set of user ids; they are one person when the sets overlap.
local function would_merge(update)
  local groups = {}
  local index, record = find(update.names[1])
  if record and record.listed then groups[1] = users_named(name_at(index), record) end
  for _, contact in pairs(update.contacts) do groups[#groups + 1] = users_of(contact) or nil end
  return not are_one(groups)
end

-- Whether a claim contradicts what others know: it names a contact of another person, or something new about a person
-- who is known. The first claim stands until a trusted source knows better.
local function contradicts(update)
  local owners, user = owners_of(update, {}), user_in(update.names[1])
  if not next(owners) then return false end
  local known = {}
  for index, record in pairs(owners) do
    local name, covers = name_at(index), true
    if user and user_in(name) and not users_named(name, record)[user] then return true end
    local theirs = {}
    for _, digest in ipairs(record.listed) do theirs[digest], known[digest] = true, true end
    for _, contact in pairs(update.contacts) do covers = covers and theirs[digest_of(KEYS[contact])] end
    if covers and not user then return false end
  end
  for _, contact in pairs(update.contacts) do
    if not known[digest_of(KEYS[contact])] then return true end
  end
  return not user
end

local function size_of(set)
  local number = 0
  for _ in pairs(set) do number = number + 1 end
  return number
end

local function is_contact(what)
  return what == 'email' or what == 'phone'
end

-- The identifiers of this update that so many people share that they identify none of them, by kind.
local function shared_by_many(update)
  local shared, own = {}, user_in(update.names[1])
  local _, record = find(update.names[1])
  local contacts = {}
  for _, digest in ipairs(record and record.listed or {}) do contacts[digest] = true end
  for _, digest in ipairs(record and record.ids or {}) do contacts[digest] = nil end
  for what, contact in pairs(update.contacts) do
    if is_contact(what) then contacts[digest_of(KEYS[contact])] = true end
    local users = users_of(contact) or {}
    if own then users[own] = true end
    if size_of(users) > update.most then shared[#shared + 1] = what end
  end
  if size_of(contacts) > update.most then shared[#shared + 1] = 'user' end
  return shared
end

-- Lists identifiers as suspicious, masked.
local function suspect(update, kinds)
  local key = KEYS[update.suspicious]
  for _, kind in ipairs(kinds) do
    if update.labels[kind] then redis.call('ZINCRBY', key, 1, update.labels[kind]) end
  end
  redis.call('ZREMRANGEBYRANK', key, 0, -1 - most_suspicious)
  extend(key, update.life)
end

-- Enters a record in the list of a contact, unless too many are there.
local function list(record, name, contact, update)
  if not enter(contact, name, math.floor(update.now / 1000), update.life, update.claim) then return false end
  if contact ~= update.user then record.listed = add(record.listed or {}, digest_of(KEYS[contact])) end
  return true
end

local function count_person(update, name)
  if redis.call('PFADD', KEYS[update.people], name) == 1 then
    redis.call('EXPIRE', KEYS[update.people], 2 * update.life)
  end
end

-- The newest value of each fact counts, in whatever order the events arrive.
local function upsert(update)
  local shared = update.most and shared_by_many(update) or {}
  if #shared > 0 then
    suspect(update, shared)
    return 'block', 'shared'
  end
  if update.verified and contradicts(update) then return 'block' end
  local verdict = not update.claim and update.merges and would_merge(update) and update.merges or ''
  if verdict == 'block' then return verdict end
  for _, name in ipairs(update.names) do
    local index, record = find(name)
    local holder = name_at(index)
    record = record or {v = 1, facts = {}}
    for what, value in pairs(update.facts) do
      local contact = update.contacts[what]
      if not contact or list(record, holder, contact, update) then
        if contact and not is_contact(what) then record.ids = add(record.ids or {}, digest_of(KEYS[contact])) end
        local known = record.facts[what]
        if not known or update.at >= known[2] then record.facts[what] = {value, update.at} end
      end
    end
    if update.claim and update.user > 0 then list(record, holder, update.user, update) end
    if #(record.listed or {}) > contacts_of_an_id then record.facts = {} end
    record.seen = update.now
    write(index, record, update.life)
    if places[name] ~= index then extend(KEYS[places[name]], update.life) end
    count_person(update, holder)
  end
  return verdict
end

-- The people of the previous names are the person of the name: their facts become one record, and the names lead to it.
local function alias(update)
  for _, name in ipairs(update.previous) do
    local from, old = find(name)
    local to, record = find(update.names[1])
    if from ~= to then
      old, record = old or {facts = {}}, record or {v = 1, facts = {}}
      for what, fact in pairs(old.facts) do
        local known = record.facts[what]
        if not known or fact[2] > known[2] then record.facts[what] = fact end
      end
      for _, digest in ipairs(old.listed or {}) do record.listed = add(record.listed or {}, digest) end
      for _, digest in ipairs(old.ids or {}) do record.ids = add(record.ids or {}, digest) end
      record.was = add(record.was or {}, name_at(from))
      for _, before in ipairs(old.was or {}) do add(record.was, before) end
      record.seen = update.now
      write(to, record, update.life)
      write(from, {v = 1, to = name_at(to)}, update.life)
    end
  end
  return ''
end

-- A profile was used: its expiry is refreshed.
local function touch(update)
  for _, name in ipairs(update.names) do
    local index, record = find(name)
    if record then
      record.seen = update.now
      write(index, record, update.life)
      if places[name] ~= index then extend(KEYS[places[name]], update.life) end
      for _, contact in pairs(update.contacts) do keep_list(contact, math.floor(update.now / 1000), update.life) end
      count_person(update, name_at(index))
    end
  end
  return ''
end

-- Makes one update. Returns 'send' or 'block' for one that would merge two people, else ''; then 'shared' if it is blocked
-- because too many people share one of its identifiers.
local function apply(update)
  if update['do'] == 'upsert' then return upsert(update) end
  if update['do'] == 'alias' then return alias(update) end
  return touch(update)
end
