-- The journal and its index. A part of the scripts that write in them; it needs `journal`, `journal_index` and
-- `journal_entries`.
-- An element of the index: the id of an entry of the journal in 19 digits, then rows that describe this entry and those
-- that one run wrote after it, see row_index.py.

-- Adds an entry of these fields and values: m, s and d. Returns its id, under which it is to be indexed.
local function add_entry(...)
  return redis.call('XADD', journal, 'MAXLEN', '~', journal_entries, '*', ...)
end

local function index_entries(id, rows)
  local too_many = redis.call('RPUSH', journal_index, in_digits(id) .. rows) - tonumber(journal_entries)
  if too_many > 0 then redis.call('LTRIM', journal_index, too_many, -1) end
end
