-- Takes, renews or (lease_ms 0) gives back the lease of a sync. Returns 1 when the owner has it now, else 0.
local holder = redis.call('GET', lease)
if holder and holder ~= owner then return 0 end
if lease_ms == '0' then
  redis.call('DEL', lease)
  return 0
end
redis.call('SET', lease, owner, 'PX', lease_ms)
return 1
