-- Which records hold an e-mail address, a phone number or another ID, in hashes that share many such lists, see
-- shared_hash.lua. A part of profiles.lua.
--
-- A list is known by the index of its own key among KEYS; its hash is the next one. The field is the digest in bytes, the
-- value the day before which the list ends, in 2 bytes, and the names of the records, the newest last, each behind its
-- length. A list that is too long for that is a sorted set of NAMEs under its own key, by when an event last stated them
-- (epoch s). Earlier releases kept all lists so; such a list moves into the hash when it is written.
local longest_value = 64 -- Redis keeps a hash with a longer one in a form that takes more memory
local ids_of_a_contact = 100 -- what more ids share is a placeholder, and no further id is listed under it
local most_claims = 20 -- records that are listed under a claim, the newest; and records that one is verified against
local lists = {} -- the lists that this run has read or written, by index

local packed_names = {} -- by NAME

-- The digest is the end of the key.
local function digest_of(key)
  return string.sub(key, -24)
end

local function to_bytes(hex)
  return struct.pack('>I4I4I4', tonumber(string.sub(hex, 1, 8), 16), tonumber(string.sub(hex, 9, 16), 16),
    tonumber(string.sub(hex, 17, 24), 16))
end

local function to_hex(bytes)
  return string.format('%08x%08x%08x', struct.unpack('>I4I4I4', bytes))
end

-- A name in short, behind its length: the source, the kind, and digests in bytes.
local function pack_name(name)
  local packed = packed_names[name]
  if not packed then
    local at = string.find(name, ':', 1, true) + 2
    packed = string.sub(name, 1, at - 1) .. to_bytes(string.sub(name, at, at + 23))
    if #name > at + 23 then packed = packed .. to_bytes(string.sub(name, at + 25)) end
    packed = string.char(math.min(#packed, 255)) .. packed
    packed_names[name] = packed
  end
  return packed
end

local function unpack_name(packed)
  local at = string.find(packed, ':', 1, true) + 2
  local name = string.sub(packed, 1, at - 1) .. to_hex(string.sub(packed, at, at + 11))
  if #packed > at + 11 then name = name .. '.' .. to_hex(string.sub(packed, at + 12)) end
  return name
end

local function has_ended(value)
  return struct.unpack('>I2', value) <= today()
end

local function index_in(names, name)
  for i = 1, #names do
    if names[i] == name then return i end
  end
end

-- A list: its names, the newest last; the day before which it ends; whether it has a key of its own; its value in the hash.
local function list_at(contact)
  local known = lists[contact]
  if known then return known end
  local key = KEYS[contact]
  local names, field = redis.call('ZRANGE', key, 0, -1), to_bytes(digest_of(key))
  local value = redis.call('HGET', KEYS[contact + 1], field)
  known = {names = names, ends = 0, is_own = #names > 0, field = field, value = value}
  lists[contact] = known
  if not value or has_ended(value) then return known end
  known.ends = struct.unpack('>I2', value)
  local at = 3
  while at <= #value do
    local length = string.byte(value, at)
    local name = unpack_name(string.sub(value, at + 1, at + length))
    if not known.is_own or not index_in(names, name) then names[#names + 1] = name end
    at = at + 1 + length
  end
  return known
end

local function extend(key, life_s)
  if redis.call('TTL', key) < life_s then redis.call('EXPIRE', key, life_s) end
end

-- The day before which something ends that is kept for so long from now on.
local function day_after(now_s, life_s)
  return math.floor((now_s + life_s) / 86400) + 1
end

-- The value of the hash's field, or nil where it would be too long.
local function pack_list(known)
  if #known.names > longest_value / 12 then return nil end
  local value = struct.pack('>I2', known.ends)
  for _, name in ipairs(known.names) do value = value .. pack_name(name) end
  return #value <= longest_value and value or nil
end

local function write_to_hash(hash, field, value)
  local is_new = redis.call('HSET', hash, field, value) == 1
  local life_s = (struct.unpack('>I2', value) - today()) * 86400
  if redis.call('TTL', hash) < life_s then redis.call('EXPIRE', hash, life_s + 86400) end
  if is_new and string.byte(field) % 8 == 0 then remove_old(hash, has_ended) end
end

local function write_to_own_key(contact, known, now_s)
  local key, last = KEYS[contact], #known.names
  for i = known.is_own and not known.value and last or 1, last do
    redis.call('ZADD', key, now_s - last + i, known.names[i])
  end
  redis.call('ZREMRANGEBYRANK', key, 0, -1 - last)
  if known.value then redis.call('HDEL', KEYS[contact + 1], known.field) end
  known.is_own, known.value = true, false
end

-- Enters a record in a list, as its newest, and keeps the list for at least `life_s` from now on. Returns false where too
-- many are there. Claims give way to newer ones instead.
local function enter(contact, name, now_s, life_s, is_claim)
  local known = list_at(contact)
  local names = known.names
  local at = index_in(names, name)
  if not at and not is_claim and #names >= ids_of_a_contact then return false end
  local ends = math.max(known.ends, day_after(now_s, life_s))
  if at and at == #names and not known.is_own and ends == known.ends then return true end -- the hash lives as long already
  if at then table.remove(names, at) end
  names[#names + 1] = name
  if is_claim and #names > most_claims then table.remove(names, 1) end
  known.ends = ends
  local value = pack_list(known)
  if not value then
    write_to_own_key(contact, known, now_s)
    extend(KEYS[contact], life_s)
    return true
  end
  if known.is_own then
    known.ends = math.max(ends, day_after(now_s, redis.call('TTL', KEYS[contact])))
    value = pack_list(known)
    redis.call('DEL', KEYS[contact])
    known.is_own = false
  end
  known.value = value
  write_to_hash(KEYS[contact + 1], known.field, value)
  return true
end

-- A list is kept for at least `life_s` from now on.
local function keep_list(contact, now_s, life_s)
  local field, hash, ends = to_bytes(digest_of(KEYS[contact])), KEYS[contact + 1], day_after(now_s, life_s)
  local value = redis.call('HGET', hash, field)
  if value and not has_ended(value) then
    if struct.unpack('>I2', value) >= ends then return end
    write_to_hash(hash, field, struct.pack('>I2', ends) .. string.sub(value, 3))
    lists[contact] = nil
  else
    extend(KEYS[contact], life_s)
  end
end
