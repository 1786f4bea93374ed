-- What was last sent about people, in hashes that many of them share, see shared_hash.lua. A part of enqueue.lua.
--
-- A field is the name of a fingerprint, see last_sent.py. Its value: 'p' while the call waits or 'd' once it was accepted,
-- the digest of its content, and the day on which it came in, in 2 bytes. A fingerprint that an earlier release stored in a
-- key of its own is read from there until it is replaced or expires.
local digest_bytes = 12

local function is_old(value)
  local high, low = string.byte(value, -2, -1)
  return today() - (256 * high + low) > tonumber(last_sent_life_s) / 86400
end

-- Makes this the last call about a person. `about` is its digest and, behind that, its name. Returns whether it is news:
-- not if the last call was equal and accepted. A key of its own beside the field is newer: the release that writes such
-- keys runs beside this one, or has run since.
local function replace_last(hash, own, about)
  local digest, name = string.sub(about, 1, digest_bytes), string.sub(about, digest_bytes + 1)
  local last = redis.call('HGET', hash, name)
  if last and is_old(last) then last = false end
  local earlier = redis.call('GET', own)
  if earlier and last then redis.call('HDEL', hash, name) end
  if earlier == 'd' .. digest or (not earlier and last and string.sub(last, 1, -3) == 'd' .. digest) then return false end
  if earlier then redis.call('DEL', own) end
  local written = string.char(math.floor(today() / 256), today() % 256)
  local is_new = redis.call('HSET', hash, name, 'p' .. digest .. written) == 1
  redis.call('EXPIRE', hash, last_sent_life_s + 86400)
  if is_new and string.byte(digest) % 8 == 0 then remove_old(hash, is_old) end
  return true
end
