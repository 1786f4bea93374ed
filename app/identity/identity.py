"""The person an event is about, as Attentive can know them."""

from typing import ClassVar, Literal

from app.value import Value

Primary = Literal["any", "email", "phone"]  # the identifier without which an account has no use for a call


class Identity(Value, frozen=True, gc=False):
    """At least one field is set. Its repr shows none of them."""

    personal: ClassVar = frozenset({"email", "phone", "client_user_id", "custom", "shopify_id", "klaviyo_id"})

    email: str | None = None  # trimmed, lowercased
    phone: str | None = None  # E.164: "+14155550132"
    client_user_id: str | None = None  # the shop's own id
    custom: tuple[tuple[str, str], ...] = ()  # (name, value), both non-empty
    shopify_id: str | None = None  # these two are no part of events, see mapping/users.py
    klaviyo_id: str | None = None

    def has(self, primary: Primary) -> bool:
        """Whether the account's primary identifier is known."""
        return primary == "any" or (self.email if primary == "email" else self.phone) is not None

    def has_contact(self, primary: Primary) -> bool:
        """Whether an e-mail address or phone number is known by which the account can know the person."""
        return (self.email is not None and primary != "phone") or (self.phone is not None and primary != "email")
