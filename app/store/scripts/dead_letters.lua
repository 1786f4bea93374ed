-- Dead letters, and calls in review: what each source has on a queue, and may have. The first part of the scripts that
-- change a queue.
--
-- An entry of a queue holds `s` (the source) and `d` (the dead letter). `kept` is the key of a hash: for each source
-- `letters:NAME`, `bytes:NAME`, and `passed:NAME`, the id of an entry up to which the source has none.
local entry_bytes = 64 -- that an entry takes beside the dead letter
local most_looked_at = 400 -- entries, and
local most_read = 2000000 -- bytes of dead letters, to find the oldest of a source in one run
local looked_at, bytes_read = 0, 0

local function opened(entry)
  local named = {}
  for i = 1, #entry[2], 2 do named[entry[2][i]] = entry[2][i + 1] end
  return named.s or '?', entry_bytes + #(named.d or '')
end

local function add_letter(queue, kept, source, letter)
  local id = redis.call('XADD', queue, '*', 's', source, 'd', letter)
  redis.call('HINCRBY', kept, 'letters:' .. source, 1)
  redis.call('HINCRBY', kept, 'bytes:' .. source, entry_bytes + #letter)
  return id
end

-- Returns  whether the dead letter was there
local function remove_letter(queue, kept, id)
  local entry = redis.call('XRANGE', queue, id, id)[1]
  if not entry then return false end
  redis.call('XDEL', queue, id)
  local source, bytes = opened(entry)
  if redis.call('HINCRBY', kept, 'letters:' .. source, -1) <= 0 then
    redis.call('HDEL', kept, 'letters:' .. source, 'bytes:' .. source, 'passed:' .. source)
  else
    redis.call('HINCRBY', kept, 'bytes:' .. source, -bytes)
  end
  return true
end

-- Deletes the oldest dead letters of a source while it has more than it may have, and counts them in `field`. Each entry is
-- passed once for a source that has too much, so this may stop early: a later run goes on from there.
local function evict(queue, kept, source, most_letters, most_bytes, field)
  local names = {'letters:' .. source, 'bytes:' .. source, 'passed:' .. source}
  local facts, gone, at_end = redis.call('HMGET', kept, unpack(names)), 0, false
  local letters, bytes, passed = tonumber(facts[1] or 0), tonumber(facts[2] or 0), facts[3] or '0-0'
  local function too_much() return letters > most_letters or bytes > most_bytes end
  if not too_much() then return 0 end
  while too_much() and not at_end and looked_at < most_looked_at and bytes_read < most_read do
    local page = redis.call('XRANGE', queue, '(' .. passed, '+', 'COUNT', 20)
    at_end = #page < 20
    for _, entry in ipairs(page) do
      if not too_much() then break end
      local owner, size = opened(entry)
      looked_at, bytes_read = looked_at + 1, bytes_read + size
      passed = entry[1]
      if owner == source then
        redis.call('XDEL', queue, entry[1])
        letters, bytes, gone = letters - 1, bytes - size, gone + 1
      end
    end
  end
  if letters <= 0 or (at_end and too_much()) then
    redis.call('HDEL', kept, unpack(names)) -- nothing of it is left, whatever was counted
  else
    redis.call('HSET', kept, names[1], letters, names[2], bytes, names[3], passed)
  end
  if gone > 0 then redis.call('HINCRBY', counters, field, gone) end
  return gone
end
