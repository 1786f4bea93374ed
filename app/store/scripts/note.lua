-- Writes one entry of the journal, and its rows in the index.
index_entries(add_entry('m', message_id, 's', step, 'd', record), rows)
return 1
