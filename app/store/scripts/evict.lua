-- Deletes dead letters of a queue that are too old, and then those that a source has too many of, and counts them.
-- oldest_ms  when the oldest that is kept was given up (epoch ms)    most_letters, most_bytes  of each source
-- by_age, by_share   fields of the counters, without the source
-- Returns  1 when there may be more to delete, else 0
local at_once = 100
local old = redis.call('XRANGE', queue, '-', '(' .. oldest_ms, 'COUNT', at_once)
for _, entry in ipairs(old) do
  local source = opened(entry)
  remove_letter(queue, kept, entry[1])
  redis.call('HINCRBY', counters, by_age .. source, 1)
end
if #old == at_once then return 1 end
local gone = 0
for _, field in ipairs(redis.call('HKEYS', kept)) do
  local source = string.match(field, '^letters:(.*)$')
  if source then
    gone = gone + evict(queue, kept, source, tonumber(most_letters), tonumber(most_bytes), by_share .. source)
  end
end
return (gone > 0 or looked_at >= most_looked_at or bytes_read >= most_read) and 1 or 0
