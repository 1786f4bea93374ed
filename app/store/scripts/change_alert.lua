-- Changes the state of one alert and hands out the messages about it, in one step: a process that dies before has changed
-- nothing, and one that dies after has lost nothing. Only the leader may, and only from the state that it has read.
--
-- before, after  the stored states; '' for none      entry  of the history, or ''      most  entries of the history
-- messages       one for each of the queues
-- Returns  1 when it was changed, 0 when the state was another, -1 when another process leads
if redis.call('GET', leader) ~= owner then return -1 end
if (redis.call('HGET', states, alert) or '') ~= before then return 0 end
if after == '' then
  redis.call('HDEL', states, alert)
else
  redis.call('HSET', states, alert, after)
end
if entry ~= '' then redis.call('XADD', history, 'MAXLEN', '~', most, '*', 'd', entry) end
for i, queue in ipairs(queues) do redis.call('XADD', queue, '*', 'd', ARGV[messages_at + i - 1]) end
return 1
