-- IDs of stream entries in an index: 14 digits of milliseconds and 5 of the sequence, so that they sort as text.
local function in_digits(id)
  local ms, sequence = string.match(id, '^(%d+)%-(%d+)$')
  return string.format('%014d%05d', tonumber(ms), tonumber(sequence))
end
