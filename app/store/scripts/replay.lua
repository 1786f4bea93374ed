-- Turns one dead letter, or one call in review, back into waiting calls, or into another ending. Exactly once, however
-- often it is called.
--
-- calls   of its event               ending   a field of the counters, '' while it waits
-- entries how many calls follow      counted  another field that counts this, or ''
-- Each call: number of its stream (from 0), payload as one of the event's calls that are still open, payload as an event
-- of its own.
-- Returns  1 when replayed, 0 when the dead letter was gone
if not remove_letter(queue, kept, id) then return 0 end
local rejoins = tonumber(calls) > 1 and redis.call('HEXISTS', parts, event_key) == 1
entries = tonumber(entries)
if rejoins then
  redis.call('HINCRBY', parts, event_key, entries)
  redis.call('HDEL', parts, event_key .. ':end')
else
  redis.call('HINCRBY', counters, replayed, 1)
  if entries > 1 then redis.call('HSET', parts, event_key, entries) end
end
for i = new_calls_at, new_calls_at + 3 * (entries - 1), 3 do
  local payload = ARGV[rejoins and i + 1 or i + 2]
  redis.call('XADD', KEYS[streams_at + tonumber(ARGV[i])], '*', 'd', payload)
  redis.call('HINCRBY', backlog, 'calls:' .. source, 1)
  redis.call('HINCRBY', backlog, 'bytes:' .. source, #payload)
end
for _, field in ipairs({ending, counted}) do
  if field ~= '' then redis.call('HINCRBY', counters, field, 1) end
end
index_entries(add_entry('m', message_id, 's', 'replayed', 'd', record), rows)
return 1
