-- Deletes one letter for good, and says so in the journal.
-- KEYS  where it is kept (dead or unknown), journal
-- ARGV  letter id, message id, journal record, journal length
-- Returns  1 when deleted, 0 when it was gone
if redis.call('XDEL', KEYS[1], ARGV[1]) == 0 then return 0 end
redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[4], '*', 'm', ARGV[2], 's', 'discarded', 'd', ARGV[3])
return 1
