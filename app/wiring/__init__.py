"""From the configuration to ready parts: those of a gateway, those of a worker, and those of both."""
