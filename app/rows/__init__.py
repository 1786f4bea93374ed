"""Rows of files and databases: read whole, compared with what was sent before, and sent as events."""
