-- Gives the lease back, so that another process evaluates at once.
if redis.call('GET', leader) == owner then redis.call('DEL', leader) end
