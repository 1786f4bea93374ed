"""Who an event is about: the identifiers that Attentive accepts, and where they come from."""
