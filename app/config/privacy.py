"""What is withheld from a destination's events, as the YAML file describes it."""

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
    """The privacy guard: what it detects, and what it does with each finding."""

    card_number: Action = Field("redact", description="card numbers: an issuer's digits with a valid Luhn checksum")
    us_ssn: Action = Field("redact", description="US social security numbers, written with blanks, dashes or the like")
    iban: Action = Field("redact", description="IBANs of a known country, with a valid checksum")
    secret: Action = Field(
        "redact", description="values named like a secret: password, cvv, pin, token, account_number, diagnosis, …"
    )
    secret_names: tuple[str, ...] = Field((), description="more names of secrets")
    harmless_names: tuple[str, ...] = Field((), description="names that are not secret in your events, such as pin")
    id_names: tuple[str, ...] | None = Field(
        None,
        description="fields whose numbers are identifiers and never withheld; "
        "unless set, their names decide: order_id, product_id, variant, sku, barcode and the like",
    )
    deny: tuple[Path, ...] = Field(
        (), description="paths that are withheld, with everything below them; `*` stands for any part of a name"
    )
    denied: Action = Field("drop_field", description="what happens to the values of `deny`")
    allow: tuple[Path, ...] = Field(
        (), description="if it lists paths below properties, traits or context, only these pass there"
    )
    not_allowed: Action = Field(
        "drop_field", description="what happens to values that are not in `allow`; e-mail and phone always pass"
    )
