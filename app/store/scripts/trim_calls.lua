-- Removes recorded calls that are too old, or too many.
-- Returns  how many are gone
return trim_calls(tonumber(most_calls), tonumber(most_bytes), tonumber(oldest_ms))
