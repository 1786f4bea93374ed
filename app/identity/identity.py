"""The person an event is about, as Attentive can know them."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Identity:
    """At least one field is set. `repr=False`: logs and tracebacks name no person."""

    email: str | None = field(default=None, repr=False)  # trimmed, lowercased
    phone: str | None = field(default=None, repr=False)  # E.164: "+14155550132"
    client_user_id: str | None = field(default=None, repr=False)  # the shop's own id
    custom: tuple[tuple[str, str], ...] = field(default=(), repr=False)  # (name, value), both non-empty
