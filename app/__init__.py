"""The gateway: Segment-style calls in, Attentive calls out, Redis in between."""

__version__ = "0.1.0"
