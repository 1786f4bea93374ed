"""Syncs of tables in PostgreSQL and MariaDB, as real servers."""
