"""Calls in Redis: outbox, lanes, retries, dead letters, journal. Every change of state is one atomic script."""
