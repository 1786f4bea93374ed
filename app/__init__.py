"""The gateway: receives Segment-style events, queues them in Redis, and sends calls to Attentive."""

from app.deferred import defer

__version__ = "0.1.0"

# redis imports it for the tokens of Entra ID alone. With its cryptography it takes 10 MB of each process.
defer("jwt")
