-- Recorded calls: a stream that is bounded by number and bytes, and its index. A part of the scripts that write in them;
-- it needs `calls`, `calls_index` and `calls_bytes`.
-- An element of the index: the id of a recorded call in 19 digits, then rows that describe it, see row_index.py. `calls_bytes` is the size of all that is in the stream.
local bytes_beside = 48 -- that an entry takes beside its call
local most_removed = 200 -- in one run: others use this Redis too

local function drop_from_index(id)
  local last = in_digits(id)
  local first = redis.call('LINDEX', calls_index, 0)
  while first and string.sub(first, 1, #last) <= last do
    redis.call('LPOP', calls_index)
    first = redis.call('LINDEX', calls_index, 0)
  end
end

-- Records a call under the id of its attempt in the journal.
local function record_call(id, call, rows)
  local added = redis.pcall('XADD', calls, id, 'd', call)
  if added.err then id = redis.call('XADD', calls, '*', 'd', call) end -- the clock was set back, or the journal begun anew
  redis.call('RPUSH', calls_index, in_digits(id) .. rows)
  redis.call('INCRBY', calls_bytes, bytes_beside + #call)
end

-- Removes the oldest calls while there are too many, or too many bytes of them, or while they are older than `oldest_ms`.
-- Returns  how many are gone
local function trim_calls(most_calls, most_bytes, oldest_ms)
  local number, bytes, gone = redis.call('XLEN', calls), tonumber(redis.call('GET', calls_bytes) or 0), 0
  while number > 0 and gone < most_removed do
    if number <= most_calls and bytes <= most_bytes and oldest_ms == 0 then break end
    local oldest = redis.call('XRANGE', calls, '-', '+', 'COUNT', 1)[1]
    local is_old = tonumber(string.match(oldest[1], '^%d+')) < oldest_ms
    if number <= most_calls and bytes <= most_bytes and not is_old then break end
    redis.call('XDEL', calls, oldest[1])
    drop_from_index(oldest[1])
    number, bytes, gone = number - 1, bytes - #oldest[2][2] - bytes_beside, gone + 1
  end
  if number == 0 then
    redis.call('DEL', calls_bytes, calls_index)
  elseif gone > 0 then
    redis.call('SET', calls_bytes, math.max(0, bytes))
  end
  return gone
end
