"""Counters and a histogram for the hot path, as collectors of prometheus_client.

The library's own ones take a lock and check labels for each sample: 0.6 µs for a counter and 1.3 for a histogram, here
0.1 and 0.3. They may only be changed in the event loop.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString


class CounterTally(Collector):
    """A counter with labels. `counts` maps label values, in their order, to the count: add to it."""

    def __init__(self, name: str, documentation: str, labels: Sequence[str], *, registry: CollectorRegistry) -> None:
        self._name, self._documentation, self._labels = name, documentation, labels
        self.counts: Final[defaultdict[tuple[str, ...], int]] = defaultdict(int)
        registry.register(self)

    def collect(self) -> Iterator[CounterMetricFamily]:
        """The current counter."""
        family = CounterMetricFamily(self._name, self._documentation, labels=self._labels)
        for values, count in self.counts.items():
            family.add_metric(values, count)
        yield family


class HistogramTally(Collector):
    """A histogram without labels. `buckets` are upper bounds, in ascending order; one for the rest is added."""

    def __init__(self, name: str, documentation: str, *, buckets: Sequence[float], registry: CollectorRegistry) -> None:
        self._name, self._documentation, self._bounds = name, documentation, tuple(buckets)
        self._counts = [0] * (len(buckets) + 1)
        self._sum = 0.0
        registry.register(self)

    def observe(self, amount: float) -> None:
        """Add one observation."""
        self._counts[bisect_left(self._bounds, amount)] += 1
        self._sum += amount

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """The current histogram."""
        bounds = [*map(floatToGoString, self._bounds), "+Inf"]
        family = HistogramMetricFamily(self._name, self._documentation)
        family.add_metric([], list(zip(bounds, accumulate(self._counts), strict=True)), self._sum)
        yield family
