-- Removes the elements of the journal's index that describe only entries which the journal no longer has.
-- Returns  1 when there may be more of them, else 0
local PAGE = 500
local first = redis.call('XRANGE', journal, '-', '+', 'COUNT', 1)[1]
if not first then
  redis.call('DEL', journal_index)
  return 0
end
local kept, gone = in_digits(first[1]), 0
for _, element in ipairs(redis.call('LRANGE', journal_index, 1, PAGE)) do
  if string.sub(element, 1, #kept) > kept then break end
  gone = gone + 1
end
if gone > 0 then redis.call('LTRIM', journal_index, gone, -1) end
return gone == PAGE and 1 or 0
