-- Puts an edited dead letter in the place of one that is there, and records that in the journal.
-- Returns  the id it has from now on, or false when the dead letter was gone
if not remove_letter(queue, kept, id) then return false end
local new_id = add_letter(queue, kept, source, edited)
index_entries(add_entry('m', message_id, 's', 'edited', 'd', record), rows)
return new_id
