-- Puts an edited letter in the place of one that is there, and says so in the journal.
-- KEYS  where it is kept (dead or unknown), journal
-- ARGV  letter id, edited letter, message id, journal record, journal length
-- Returns  the id it has from now on, or false when the letter was gone
if redis.call('XDEL', KEYS[1], ARGV[1]) == 0 then return false end
local id = redis.call('XADD', KEYS[1], '*', 'd', ARGV[2])
redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[5], '*', 'm', ARGV[3], 's', 'edited', 'd', ARGV[4])
return id
