-- Returns for each of these contacts the names of the records that it is listed for under its own key, and its value in the
-- hash that it shares, see contacts.lua.
--
-- lists  per contact: its own key, its hash    fields  of the hashes
local stored = {}
for i, field in ipairs(fields) do
  local at = lists_at + 2 * (i - 1)
  stored[2 * i - 1] = redis.call('ZRANGE', KEYS[at], 0, -1)
  stored[2 * i] = redis.call('HGET', KEYS[at + 1], field)
end
return stored
