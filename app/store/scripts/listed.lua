-- Returns for each of these contacts the names of the records that it is listed for.
local names = {}
for at = contacts_at, #KEYS do names[#names + 1] = redis.call('ZRANGE', KEYS[at], 0, -1) end
return names
