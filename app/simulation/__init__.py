"""How backlogs grow and shrink, computed with a virtual clock: no Redis, no network, no waiting. Pure."""
