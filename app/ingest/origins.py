"""Sites allowed to post, by origin: the scheme, host and port of their address."""

import re
from collections.abc import Iterable


class Origins:
    """Origins that may post: exact ("https://shop.example"), all subdomains ("https://*.shop.example"), or "*"."""

    def __init__(self, allowed: Iterable[str]) -> None:
        patterns = [".*" if one == "*" else re.escape(one).replace(r"\*", "[^/:]+") for one in allowed]
        self._pattern = re.compile("|".join(patterns) or r"(?!)", re.IGNORECASE)

    def allow(self, origin: str) -> bool:
        """Whether a page of this origin may post and read the answer."""
        return self._pattern.fullmatch(origin) is not None
