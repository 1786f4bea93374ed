-- When the lane was last held, for whoever asks what its calls waited for. For claim.lua and due.lua, which find it held.

local HELD_AGAIN_MS = 5000 -- a hold that begins so soon after another continues it: in between, one call was tried

local function note_hold(pace, held_ms, now_ms)
  local from, ends = unpack(redis.call('HMGET', pace, 'held_from', 'held_until'))
  if not ends or now_ms > tonumber(ends) + HELD_AGAIN_MS then from = string.format('%d', now_ms) end
  -- A full Redis refuses this, and the lane is no less held.
  redis.pcall('HSET', pace, 'held_from', from, 'held_until', string.format('%d', now_ms + held_ms))
end
