"""Attentive's REST API: its endpoints as data, and the one client that calls it."""
