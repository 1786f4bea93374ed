"""How many inputs the property tests generate: a share of what each names, in percent, set by GATEWAY_TEST_EXAMPLES.

`make test` generates a fifth, the same ones in every run. `make test-fuzz` generates all.
"""

import os
from typing import Final

from hypothesis import HealthCheck, settings

_SHARE: Final = int(os.environ.get("GATEWAY_TEST_EXAMPLES", "20"))
WHOLE: Final = _SHARE >= 100

PROFILE: Final = "gateway"
# A deadline would measure how busy the machine is.
settings.register_profile(
    PROFILE,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def share_of(most: int) -> int:
    """How many of `most` examples this run generates; at least one."""
    return max(1, most * _SHARE // 100)


def examples(most: int) -> settings:
    """Decorates a test that generates a share of `most` examples."""
    return settings(max_examples=share_of(most))
