"""Segment's wire format: the shapes that trackers send, parsed once at intake."""
