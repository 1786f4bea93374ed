"""The exception for an invalid configuration."""


class BadSettings(Exception):  # noqa: N818 - it ends the start, with one line for the operator
    """An invalid setting. The text names it and states what was expected."""
