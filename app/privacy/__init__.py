"""The privacy guard: what must not be kept is taken out of an event before anything of it is stored. Pure."""
