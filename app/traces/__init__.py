"""Traces: one story of an event, from the tracker's request to Attentive's answer. Off by default."""
