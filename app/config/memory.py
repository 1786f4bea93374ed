"""What is remembered of a source's people, so that events which carry an id alone can be sent about somebody."""

from typing import Annotated

from pydantic import Field

from app.config.values import Frozen

Days = Annotated[float, Field(ge=0.01, le=400)]


class Memory(Frozen):
    """The identifiers that identify calls tell, kept under a digest of the ids that later events carry."""

    user_id: bool = Field(True, description="remember people by `userId`, and add what is known to later events")
    anonymous_id: bool = Field(
        False,
        description="also by `anonymousId`: events without `userId` are then about whom that browser knew",
    )
    days: Days = Field(30, description="how long, from the last identify call or use on")
