-- Has the endings of events stored. One that has ended already keeps its ending.
for at = events_at, #ARGV do redis.call('HSETNX', row_outcomes, ARGV[at], '') end
redis.call('EXPIRE', row_outcomes, life_s)
