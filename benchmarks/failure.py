"""The one exception that ends a benchmark with a readable line."""


class BenchmarkFailed(Exception):  # noqa: N818 - the text says what went wrong
    """No figure can be given; the text says why in one line."""
