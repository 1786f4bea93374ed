"""Whom an event is about, in the forms Attentive accepts."""
