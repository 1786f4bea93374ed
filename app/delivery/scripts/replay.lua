-- Turns one dead letter, or one call of unknown outcome, back into waiting calls, or into another ending, exactly once
-- however often it is asked.
--
-- KEYS  where it is kept (dead or unknown), books, parts, journal, then the streams
-- ARGV  letter id, event key, calls of that event, message id, journal record, journal length, ending ('' while it
--       waits), another field of the books that counts this or '', number of entries; then per entry: index into KEYS
--       of its stream, payload as one of the event's calls that are still open, payload as an event of its own
-- Returns  1 when replayed, 0 when the letter was gone
if redis.call('XDEL', KEYS[1], ARGV[1]) == 0 then return 0 end
local key, calls, entries = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[9])
local joins = calls > 1 and redis.call('HEXISTS', KEYS[3], key) == 1
if joins then
  redis.call('HINCRBY', KEYS[3], key, entries)
  redis.call('HDEL', KEYS[3], key .. ':end')
else
  redis.call('HINCRBY', KEYS[2], 'replayed', 1)
  if entries > 1 then redis.call('HSET', KEYS[3], key, entries) end
end
for i = 0, entries - 1 do
  redis.call('XADD', KEYS[tonumber(ARGV[10 + 3 * i])], '*', 'd', ARGV[(joins and 11 or 12) + 3 * i])
end
for i = 7, 8 do
  if ARGV[i] ~= '' then redis.call('HINCRBY', KEYS[2], ARGV[i], 1) end
end
redis.call('XADD', KEYS[4], 'MAXLEN', '~', ARGV[6], '*', 'm', ARGV[4], 's', 'replayed', 'd', ARGV[5])
return 1
