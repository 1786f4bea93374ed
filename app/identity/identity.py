"""The person an event is about, as Attentive can know them."""

from typing import ClassVar

from app.value import Value


class Identity(Value, frozen=True, gc=False):
    """At least one field is set. Its repr shows none of them."""

    personal: ClassVar = frozenset({"email", "phone", "client_user_id", "custom"})

    email: str | None = None  # trimmed, lowercased
    phone: str | None = None  # E.164: "+14155550132"
    client_user_id: str | None = None  # the shop's own id
    custom: tuple[tuple[str, str], ...] = ()  # (name, value), both non-empty
