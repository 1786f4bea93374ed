"""Intake: HTTP requests of trackers in, events into the outbox, answers that every tracker understands."""
