"""What is kept out of a destination's events, as the YAML file describes it."""

from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field

from app.config.values import Frozen

ROOTS: Final = ("properties", "traits", "context")
Action = Literal["off", "redact", "drop_field", "drop_event"]


def _path(path: str) -> str:
    root, *steps = path.split(".")
    if root not in ROOTS or not steps or not all(steps):
        raise ValueError("must be a path into properties, traits or context, such as properties.products.*_note")
    return path


Path = Annotated[str, AfterValidator(_path)]


class Privacy(Frozen):
    """The privacy guard: what it looks for, and what it does about each."""

    card_number: Action = Field("redact", description="card numbers: an issuer's digits with a good Luhn checksum")
    us_ssn: Action = Field("redact", description="US social security numbers, written with blanks or dashes")
    iban: Action = Field("redact", description="IBANs, in capitals, with a good checksum")
    secret: Action = Field("redact", description="values named like a secret: password, cvv, pin, access_token, …")
    secret_names: tuple[str, ...] = Field((), description="more names of secrets")
    harmless_names: tuple[str, ...] = Field((), description="names that are no secrets here, such as pin")
    id_names: tuple[str, ...] | None = Field(
        None,
        description="fields whose bare digits are an id and never a card number; "
        "unless set: id, order_id, product_id, variant, sku, barcode and the like",
    )
    deny: tuple[Path, ...] = Field(
        (), description="paths that are withheld, with all below them; `*` is any part of a name"
    )
    denied: Action = Field("drop_field", description="what is done with them")
    allow: tuple[Path, ...] = Field(
        (), description="where it names anything below properties, traits or context, nothing else passes there"
    )
    not_allowed: Action = Field("drop_field", description="what is done with the rest; e-mail and phone always pass")
