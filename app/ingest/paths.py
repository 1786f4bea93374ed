"""Every path that trackers post to, and the kind of its body.

Source: the published clients. Many clients follow a redirect with a GET, so each path is served directly.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

TYPES: Final = ("track", "identify", "page", "screen", "group", "alias")


@dataclass(frozen=True, slots=True)
class TrackingPath:
    """One path. `type` is the type of its events (None: each event names its own). `discard`: the body is ignored."""

    path: str
    type: str | None = None
    discard: bool = False
    who: str = ""  # its callers, for the documentation


def _forms() -> Iterator[TrackingPath]:
    for kind in TYPES:
        yield TrackingPath(f"/v1/{kind}", kind, who="hand-written callers, RudderStack in browsers")
    yield TrackingPath("/v1/delete", "delete", who="privacy tools that ask to forget a person")
    yield TrackingPath("/v1/batch", who="Segment's and RudderStack's server libraries, webhooks")
    for kind in TYPES:
        yield TrackingPath(f"/v1/{kind[0]}", kind, who="analytics.js")
    yield TrackingPath("/v1/b", who="analytics.js in batches, Kotlin, Swift, React Native, C#")
    yield TrackingPath("/v1/import", who="Ruby, .NET, Java, Android")
    yield TrackingPath("/v1/m", discard=True, who="Segment's libraries, about themselves")
    yield TrackingPath("/beacon/v1/batch", who="RudderStack's sendBeacon")
    for kind in TYPES:
        yield TrackingPath(f"/api/s/{kind}", kind, who="Jitsu in browsers")
        yield TrackingPath(f"/api/s/s2s/{kind}", kind, who="Jitsu on servers")
    for path in ("/v1/batch/b", "/batch", "/batch/b", "/b"):
        yield TrackingPath(path, who="clients whose host is set without /v1")


TRACKING_PATHS: Final = tuple(_forms())
BY_PATH: Final[Mapping[str, TrackingPath]] = {
    path: form for form in TRACKING_PATHS for path in (form.path, form.path + "/")
}
BY_URL: Final[Mapping[bytes, TrackingPath]] = {path.encode(): form for path, form in BY_PATH.items()}
