-- Deletes one dead letter for good, and records that in the journal.
-- Returns  1 when deleted, 0 when it was gone
if not remove_letter(queue, kept, id) then return 0 end
index_entries(add_entry('m', message_id, 's', 'discarded', 'd', record), rows)
return 1
