-- Takes people out of memory: their records go, and out of the lists of the contacts that hold them.
--
-- KEYS  records, then contacts    ARGV  number of records; then their NAMEs    Returns  how many records there were
local records = tonumber(ARGV[1])
local gone = 0
for i = 1, records do gone = gone + redis.call('DEL', KEYS[i]) end
for i = records + 1, #KEYS do
  for j = 2, #ARGV do redis.call('ZREM', KEYS[i], ARGV[j]) end
end
return gone
