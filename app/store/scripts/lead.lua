-- Takes or keeps the lease of the process that evaluates alerts.
--
-- Returns  1 when it is the caller's now, else 0
if redis.call('GET', leader) == owner then
  redis.call('PEXPIRE', leader, lease_ms)
  return 1
end
return redis.call('SET', leader, owner, 'NX', 'PX', lease_ms) and 1 or 0
