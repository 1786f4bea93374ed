-- Takes steps in memory that belong to no arriving event: those of a dead letter that is decided again.
--
-- KEYS  what memory.lua wants    ARGV  the steps as JSON, in order
-- Returns  for each step 'send' or 'hold' where it would join two people, else '';
--          or, with nothing done: 'more', the NAMEs of records that are needed among KEYS too
local steps = {}
for i = 1, #ARGV do steps[i] = cjson.decode(ARGV[i]) end
find_records()
local missing = missing_for(steps)
if #missing > 0 then return {'more', missing} end
local verdicts = {}
for i, step in ipairs(steps) do verdicts[i] = take(step) end
return verdicts
