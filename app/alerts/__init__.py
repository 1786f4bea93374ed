"""Alerts: rules as a table, their states, and the messages that leave when a state changes."""
