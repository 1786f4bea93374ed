-- Lets workers know that a person watches calls: which, until when. Of several watchers, each has a filter of its own.
-- watcher  a name    filter  as JSON, '' when the watcher leaves    life_ms  until it is forgotten
-- Returns  how many watch now
local MOST = 50 -- watchers
local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
local watching, last = {}, 0
for _, each in ipairs(cjson.decode(redis.call('GET', tap) or '[]')) do
  if each.watcher ~= watcher and each.till > now_ms and #watching < MOST - 1 then
    watching[#watching + 1] = each
    last = math.max(last, each.till)
  end
end
if filter ~= '' then
  last = math.max(last, now_ms + tonumber(life_ms))
  watching[#watching + 1] = {watcher = watcher, till = now_ms + tonumber(life_ms), filter = filter}
end
if #watching == 0 then
  redis.call('DEL', tap)
else
  redis.call('SET', tap, cjson.encode(watching), 'PX', last - now_ms)
end
return #watching
