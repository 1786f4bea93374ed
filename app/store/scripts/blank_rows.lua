-- Blanks what an index has of some events: a page of its elements, counted from the newest, which no removal of old
-- elements moves. An element that comes meanwhile moves them so that some are looked at twice.
-- page  from 0    messages  the message IDs as rows have them
-- Returns  1 when there are more pages, else 0
local PAGE, ROW, FIRST_ROW, MESSAGE = 200, 12, 20, 8
local BLANK = '\255' .. string.rep('\0', ROW - 1)
local wanted = {}
for _, message in ipairs(messages) do wanted[message] = true end
local newest = -1 - tonumber(page) * PAGE
local elements = redis.call('LRANGE', index, newest - PAGE + 1, newest)
for place, element in ipairs(elements) do
  local rows, found = {}, false
  for at = FIRST_ROW, #element, ROW do
    local row = string.sub(element, at, at + ROW - 1)
    if wanted[string.sub(row, MESSAGE + 1)] then
      row, found = BLANK, true
    end
    rows[#rows + 1] = row
  end
  if found then
    redis.call('LSET', index, newest - #elements + place, string.sub(element, 1, FIRST_ROW - 1) .. table.concat(rows))
  end
end
return #elements == PAGE and 1 or 0
