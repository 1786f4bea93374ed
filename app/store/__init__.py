"""Redis plumbing: addresses, keys, connections, Lua scripts, group commit and polling."""
