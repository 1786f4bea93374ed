"""The person an event is about, by the identifiers that Attentive knows."""

from typing import ClassVar, Literal

from app.value import Value, changed

Primary = Literal["any", "email", "phone"]  # the identifier that a call to the account must have


class Identity(Value, frozen=True, gc=False, cache_hash=True):
    """At least one field is set. Its repr shows none of them."""

    personal: ClassVar = frozenset({"email", "phone", "client_user_id", "custom", "shopify_id", "klaviyo_id"})

    email: str | None = None  # trimmed, lowercased
    phone: str | None = None  # E.164: "+14155550132"
    client_user_id: str | None = None  # the shop's own ID
    custom: tuple[tuple[str, str], ...] = ()  # (name, value), both non-empty
    shopify_id: str | None = None  # these two are not part of events, see mapping/users.py
    klaviyo_id: str | None = None

    def has(self, primary: Primary) -> bool:
        """Whether the account's primary identifier is known."""
        return primary == "any" or (self.email if primary == "email" else self.phone) is not None

    def secondary(self, primary: Primary) -> str | None:
        """The contact that is not the account's primary identifier."""
        return None if primary == "any" else self.phone if primary == "email" else self.email

    def without_secondary(self, primary: Primary) -> "Identity":
        """The person without that contact."""
        return changed(self, phone=None) if primary == "email" else changed(self, email=None)

    def has_contact(self, primary: Primary) -> bool:
        """Whether the person has an e-mail address or phone number that identifies them to the account."""
        return (self.email is not None and primary != "phone") or (self.phone is not None and primary != "email")
