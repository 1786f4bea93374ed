-- Hashes that share entries of many people: Redis keeps up to 512 small fields in one block of memory. An entry has its
-- own end, a day in its value. One that is over counts as absent, and is removed with a later one. A part of scripts.
local looked_through = 64 -- entries of a hash, for old ones, with each eighth new one
local day

local function today()
  day = day or math.floor(tonumber(redis.call('TIME')[1]) / 86400)
  return day
end

local function remove_old(hash, is_old)
  local page = redis.call('HRANDFIELD', hash, looked_through, 'WITHVALUES')
  for i = 1, #page, 2 do
    if is_old(page[i + 1]) then redis.call('HDEL', hash, page[i]) end
  end
end
