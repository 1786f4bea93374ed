"""The privacy guard: removes what must not be kept from an event before any of it is stored. Pure."""
