-- Makes updates of profiles that belong to no arriving event: those of a dead letter that is decided again.
-- Returns  for each update 'send' or 'block' where it would merge two people, else '';
--          or, with nothing done: 'more', the NAMEs of records that are needed among the keys too
local updates = {}
for i = updates_at, #ARGV do updates[#updates + 1] = cjson.decode(ARGV[i]) end
find_records(profiles_at)
local missing = missing_for(updates)
if #missing > 0 then return {'more', missing} end
local verdicts = {}
for i, update in ipairs(updates) do verdicts[i] = apply(update) end
return verdicts
