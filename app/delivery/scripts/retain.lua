-- Lets go of the oldest letters of one shelf, and counts them.
-- KEYS  where they are kept (dead or unknown), books
-- ARGV  oldest id that is kept, most letters that are kept, the field of the books for age, the one for number
-- Returns  how many went for their age, how many for their number
local old = redis.call('XTRIM', KEYS[1], 'MINID', ARGV[1])
local many = redis.call('XTRIM', KEYS[1], 'MAXLEN', ARGV[2])
if old > 0 then redis.call('HINCRBY', KEYS[2], ARGV[3], old) end
if many > 0 then redis.call('HINCRBY', KEYS[2], ARGV[4], many) end
return {old, many}
