-- The stored form of profiles: a string without names of fields. A part of profiles.lua; profile.py reads it, too.
--
-- 2 (its version), when it was last written (epoch ms, 6 bytes), and the facts behind their number: for each the lengths of
-- its kind (1 byte) and value (2), the time of the event (epoch ms, 6), kind and value. Then, each behind their number, the
-- digests of its contacts, those of them that are not e-mail addresses or phone numbers, and the names of aliases, each
-- behind its length. Aliases are JSON, and so is what does not fit, as all records were in earlier releases.
local packed_version = 2
local short_kinds, long_kinds = {email = 'e', phone = 'p'}, {e = 'email', p = 'phone'}

local function pack_digests(digests)
  local packed = string.char(#digests)
  for _, digest in ipairs(digests) do
    if #digest ~= 24 then return nil end
    packed = packed .. to_bytes(digest)
  end
  return packed
end

-- A record as it is stored, or nil if it does not fit.
local function pack_record(record)
  local parts, number = {''}, 0
  for what, fact in pairs(record.facts) do
    local kind, value = short_kinds[what] or what, fact[1]
    number = number + 1
    if #kind > 255 or type(value) ~= 'string' or #value > 65535 or number > 255 then return nil end
    parts[number + 1] = struct.pack('>BHi6', #kind, #value, fact[2]) .. kind .. value
  end
  parts[1] = struct.pack('>Bi6B', packed_version, record.seen, number)
  local was = record.was or {}
  local listed, ids, names = pack_digests(record.listed or {}), pack_digests(record.ids or {}), {string.char(#was)}
  if not listed or not ids then return nil end
  for _, name in ipairs(was) do
    if #name > 255 then return nil end
    names[#names + 1] = string.char(#name) .. name
  end
  return table.concat(parts) .. listed .. ids .. table.concat(names)
end

local function unpack_digests(stored, at)
  local digests, first = {}, at + 1
  for i = 1, string.byte(stored, at) do
    digests[i] = to_hex(string.sub(stored, first + 12 * (i - 1), first + 12 * i - 1))
  end
  return #digests > 0 and digests or nil, first + 12 * #digests
end

-- The record. Raises an error if it is cut off.
local function unpack_record(stored)
  local _, seen, number, at = struct.unpack('>Bi6B', stored)
  local record = {v = 1, seen = seen, facts = {}}
  for _ = 1, number do
    local kind_bytes, value_bytes, time, first = struct.unpack('>BHi6', stored, at)
    local kind = string.sub(stored, first, first + kind_bytes - 1)
    at = first + kind_bytes + value_bytes
    record.facts[long_kinds[kind] or kind] = {string.sub(stored, first + kind_bytes, at - 1), time}
  end
  record.listed, at = unpack_digests(stored, at)
  record.ids, at = unpack_digests(stored, at)
  local was = {}
  for i = 1, string.byte(stored, at) do
    was[i], at = struct.unpack('Bc0', stored, at + 1)
    at = at - 1
  end
  if #was > 0 then record.was = was end
  assert(at == #stored)
  return record
end
