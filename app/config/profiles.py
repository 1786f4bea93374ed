"""The stored profiles of a source's people, which complete the identity of events that contain only an ID."""

from typing import Annotated

from pydantic import Field

from app.config.values import Frozen

Days = Annotated[float, Field(ge=0.01, le=400)]


class Profiles(Frozen):
    """The identifiers of identify calls, stored under a digest of the IDs that later events contain."""

    user_id: bool = Field(True, description="store a profile for each `userId`, and add it to later events")
    anonymous_id: bool = Field(
        False,
        description="store a profile for each `anonymousId` too, and add it to events without a `userId`",
    )
    days: Days = Field(30, description="days until a profile expires, after its last identify call or use")
