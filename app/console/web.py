"""Addresses of the console: links with their queries, and assets with their versions."""

import hashlib
from functools import cache
from importlib.resources import files
from typing import Any
from urllib.parse import quote, urlencode


class Asked(dict[str, str]):
    """The part of an address that a page reads. Missing values are empty."""

    def __missing__(self, name: str) -> str:
        """Nothing, which templates show as such."""
        return ""


def link(*steps: str, **query: Any) -> str:
    """A path of these steps, each escaped, and a query without what is empty: link("lanes", destination="acme")."""
    path = "/" + "/".join(quote(step, safe="") for step in steps)
    asked = {name: value for name, value in query.items() if value not in (None, "", False)}
    return f"{path}?{urlencode(asked)}" if asked else path


@cache
def version_of(name: str) -> str:
    """The address of an asset, which changes with its content: browsers may keep it for ever."""
    content = (files("app.console") / "static" / name).read_bytes()
    return f"/static/{name}?v={hashlib.sha256(content).hexdigest()[:12]}"
