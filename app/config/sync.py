"""Rows of files and databases that are sent to Attentive, as the YAML file describes them."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar, Final, Literal, Self

from cronsim import CronSim, CronSimError
from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from app.config.mapping import ItemSources, PropertyType
from app.config.subscriptions import ACT_HOURS, LONGEST_HOURS, Channels, Kind, Locale, OptIn, OptOut, Scalar, listed
from app.config.values import Frozen, Hours, SecretRef, Title, misplaced
from app.mapping.expressions import Path, Sources
from app.mapping.subscriptions import Subscription

Text = Annotated[str, Field(min_length=1)]
Columns = Annotated[
    tuple[Text, ...],
    BeforeValidator(lambda given: (given,) if isinstance(given, str) else given),
    Field(min_length=1, max_length=10),
]
Object = Literal["attributes", "events", "purchases", "identity", "subscribers", "audience"]
Mode = Literal["insert", "upsert", "update", "mirror", "add", "remove"]
# What can be done with rows of each object. The first is what happens without `mode`.
MODES: Final[Mapping[Object, tuple[Mode, ...]]] = {
    "attributes": ("upsert", "insert", "update"),
    "events": ("insert",),
    "purchases": ("insert",),
    "identity": ("upsert", "insert"),
    "subscribers": ("upsert", "add", "remove"),
    "audience": ("mirror", "add", "remove"),
}
CONSENT: Final = "consent"  # where the content of a row of subscribers has what its column states
OPT_IN, OPT_OUT = "opt_in", "opt_out"
KINDS: Final = ("csv", "ndjson", "parquet", "xlsx", "sql")


def _column(name: str) -> Sources:
    return (Path(name, in_item=True),)


class RowSource(Frozen):
    """Where the rows are: files of one kind, or the result of a query."""

    indirect: ClassVar = "connection"

    csv: Text | None = Field(None, description="path, glob or URL (such as s3://…) of CSV files, each with a header")
    ndjson: Text | None = Field(None, description="path, glob or URL of files with one JSON object a line")
    parquet: Text | None = Field(None, description="path, glob or URL of Parquet files")
    xlsx: Text | None = Field(None, description="path, glob or URL of XLSX files, each with a header")
    sql: Text | None = Field(None, description="a query; it needs `connection`")
    delimiter: Annotated[str, Field(min_length=1, max_length=1)] = Field(
        ",", description="csv: the character between two fields"
    )
    encoding: Text = Field("utf-8-sig", description="csv: the encoding. The default is UTF-8, with or without a BOM")
    sheet: Text | None = Field(None, description="xlsx: the name of the sheet; without it, the first one")
    connection: SecretRef | None = Field(
        None,
        description="sql: the database as a URL of SQLAlchemy, such as sqlite:///shop.db; or connection_env, "
        "connection_file",
    )

    @field_validator("encoding")
    @classmethod
    def _check_encoding(cls, name: str) -> str:
        try:
            "".encode(name)
        except LookupError:
            raise ValueError("is not an encoding that Python knows, such as utf-8 or cp1252") from None
        return name

    @model_validator(mode="after")
    def _check_kind(self) -> Self:
        given = [kind for kind in KINDS if getattr(self, kind) is not None]
        if len(given) != 1:
            raise ValueError(f"give exactly one of {', '.join(KINDS)}")
        for key, kind in (("delimiter", "csv"), ("encoding", "csv"), ("sheet", "xlsx"), ("connection", "sql")):
            if key in self.model_fields_set and kind != given[0]:
                raise misplaced([((key,), f"is for {kind}, and this source is {given[0]}")])
        if self.sql is not None and self.connection is None:
            raise misplaced([(("sql",), "needs `connection`, or connection_env with the name of a variable")])
        return self

    @property
    def kind(self) -> str:
        """One of KINDS."""
        return next(kind for kind in KINDS if getattr(self, kind) is not None)

    @property
    def place(self) -> str:
        """Its path, glob or query."""
        return str(getattr(self, self.kind))


class RowIdentifiers(Frozen):
    """Where the identifiers of a row's person are. By default, in the columns of these names."""

    email: ItemSources = Field(_column("email"), description="the e-mail address")
    phone: ItemSources = Field(_column("phone"), description="the phone number")
    client_user_id: ItemSources = Field(_column("client_user_id"), description="the shop's own ID of the person")
    shopify_id: ItemSources = Field(_column("shopify_id"), description="the ID in Shopify")
    klaviyo_id: ItemSources = Field(_column("klaviyo_id"), description="the ID in Klaviyo")


def _cron(text: str) -> str:
    try:
        next(CronSim(text, datetime(2026, 1, 1, tzinfo=UTC)))
    except (CronSimError, StopIteration):
        raise ValueError("must be a cron expression of five fields, in UTC, such as 15 * * * *") from None
    return text


class Segment(Frozen):
    """The segment at Attentive that an audience is."""

    external_id: Annotated[str, Field(min_length=1, max_length=255)] = Field(
        description="the ID by which the segment is found; it is made when there is none"
    )
    name: Annotated[str, Field(min_length=1, max_length=240)] = Field(description="its name in Attentive's pages")
    description: Annotated[str, Field(max_length=500)] = Field("", description="what it is, in Attentive's pages")


class RemovalGuard(Frozen):
    """How many people one run may remove or unsubscribe. A run that would do so to more waits for `sync approve`."""

    most_share: Annotated[float, Field(ge=0, le=1)] = Field(
        0.1, description="mirror: share of the members; subscribers with mode upsert: share of the rows"
    )
    most_removals: Annotated[int, Field(ge=0)] = Field(1_000, description="number of people")


class RowConsent(Frozen):
    """The column by which people are subscribed and unsubscribed. Any other value than those listed is rejected."""

    column: Text = Field(description="the column that states the consent of the row's person")
    opt_in: tuple[Scalar, ...] = Field((), description="the values that subscribe, each exactly as it is in the source")
    opt_out: tuple[Scalar, ...] = Field((), description="the values that unsubscribe")
    channels: Channels = Field(min_length=1, description="text, email, or both: what the column is about")
    sign_up_source: Text | None = Field(None, description="opt_in: ID of Attentive's sign-up unit, in quotes; or:")
    locale: Locale | None = Field(
        None, description="opt_in: {language: en, country: US}: the only API sign-up unit for these"
    )
    type: Kind = Field("MARKETING", description="opt_in: the subscription type, as of `subscriptions.opt_in`")
    types: Annotated[
        tuple[Literal["MARKETING", "TRANSACTIONAL", "CHECKOUT_ABANDONED"], ...], BeforeValidator(listed)
    ] = Field((), description="opt_out: the types that end. Without it, all of them")
    notify: bool = Field(False, description="opt_out: whether Attentive notifies the person")

    @model_validator(mode="after")
    def _check_values(self) -> Self:
        if not (self.opt_in or self.opt_out):
            raise ValueError("give the values of opt_in, of opt_out, or both: consent is never guessed")
        for value in self.opt_in:
            if self._states(self.opt_out, value):
                raise misplaced([(("opt_out",), f"has the value {value!r}, which opt_in has too")])
        if self.opt_in and (self.sign_up_source is None) == (self.locale is None):
            raise ValueError("opt_in needs exactly one of sign_up_source and locale")
        return self

    @staticmethod
    def _states(values: tuple[Scalar, ...], found: Any) -> bool:
        if isinstance(found, str):
            found = found.strip()
        same_kind = (each for each in values if isinstance(each, bool) == isinstance(found, bool))  # True == 1
        return any(each == found for each in same_kind)

    def stated(self, found: Any) -> str | None:
        """What a value of the column states: OPT_IN, OPT_OUT, or None where it is not one of those listed."""
        if self._states(self.opt_out, found):
            return OPT_OUT
        return OPT_IN if self._states(self.opt_in, found) else None

    def rules(self, mode: Mode) -> tuple[Subscription, ...]:
        """The rules in the mapping's form, of which `add` and `remove` have one."""
        rules: list[Subscription] = []
        occasion: dict[str, Any] = {"trait": CONSENT, "channels": self.channels}
        if self.opt_in and mode != "remove":
            source = {"sign_up_source": self.sign_up_source, "locale": self.locale, "type": self.type}
            given = {**occasion, **source, "dedupe_hours": LONGEST_HOURS, "is": OPT_IN}
            rules.append(OptIn.model_validate(given).rule())
        if self.opt_out and mode != "add":
            # Short: people may have subscribed anew since, where the gateway did not see it.
            given = {**occasion, "types": self.types, "notify": self.notify, "dedupe_hours": ACT_HOURS, "is": OPT_OUT}
            rules.append(OptOut.model_validate(given).rule())
        return tuple(rules)


class RowResults(Frozen):
    """A table of a database into which each run writes how its rows ended."""

    indirect: ClassVar = "connection"

    connection: SecretRef = Field(
        description="the database as a URL of SQLAlchemy, of a user who may create and change the table; or "
        "connection_env, connection_file"
    )
    table: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,62}$")] = Field(
        "attentive_results", description="its name. It is created when there is none, and syncs may share it"
    )


class Sync(Frozen):
    """A table whose rows are sent: read whole, compared with what Attentive accepted before, and sent where new."""

    title: Title = Field("", description="its name for people; by default its key in this file")
    destination: str = Field(description="the name of the destination that its rows go to")
    source: RowSource = Field(description="where the rows are, see below")
    key: Columns = Field(description="the column, or list of columns, that tells one row from all others")
    object: Object = Field(
        description="what a row is. attributes: of a person; events: a custom event; purchases: an order; identity: "
        "identifiers of one person; subscribers: the consent of a person; audience: a member of a segment"
    )
    mode: Mode | None = Field(
        None,
        description="insert: rows with a new key; upsert: new and changed rows; update: of these, only people whom the "
        "gateway knows. Default: insert for events and purchases, else upsert. subscribers: upsert opts in and out, "
        "add only in, remove only out. An audience needs one of mirror: its members are the rows; add: rows become "
        "members; remove: rows are members no longer",
    )
    identifiers: RowIdentifiers = Field(RowIdentifiers(), description="columns that identify the person, see below")
    event: ItemSources = Field(_column("type"), description="events: the type of the event. Default: the column `type`")
    timestamp: ItemSources = Field(
        _column("timestamp"), description="events, purchases: when it happened. Default: the column `timestamp`"
    )
    fields: dict[Text, ItemSources] | None = Field(
        None,
        description="attributes or properties by name, and where each is found. Without it, all other columns, by "
        "their own names",
    )
    skip: Annotated[tuple[Text, ...], BeforeValidator(lambda given: (given,) if isinstance(given, str) else given)] = (
        Field((), description="columns that are not sent, where `fields` is not given")
    )
    types: dict[Text, PropertyType] = Field(
        default_factory=dict,
        description="string, number, boolean or date, by field; a row with a value that has no such form is rejected",
    )
    duplicates: Literal["refuse", "first", "last", "reject"] = Field(
        "refuse",
        description="rows without a key, and rows that share one. refuse: the run ends before anything is sent; first, "
        "last: that row is sent; reject: none of them is",
    )
    horizon_hours: Hours | None = Field(
        None,
        description="an older event is not sent, and becomes a dead letter; by default `delivery.horizon_hours` of the "
        "destination",
    )
    segment: Segment | None = Field(None, description="audience: the segment, see below")
    consent: RowConsent | None = Field(None, description="subscribers: who is subscribed and unsubscribed, see below")
    removals: RemovalGuard = Field(
        RemovalGuard(), description="audience, subscribers: how many people a run may remove or unsubscribe, see below"
    )
    bulk_from: Annotated[int, Field(ge=1)] | None = Field(
        50_000,
        description="attributes: from this number of rows on, v2 attributes are sent by Attentive's bulk endpoint, 256 "
        "a call, which applies them within hours; null: never",
    )
    results: RowResults | None = Field(None, description="where the outcome of each row is written, see below")
    schedule: Annotated[str, AfterValidator(_cron)] | None = Field(
        None, description="when `sync schedule` runs it: a cron expression of five fields, in UTC"
    )

    @model_validator(mode="after")
    def _check_paths(self) -> Self:
        who = [(("identifiers", name), getattr(self.identifiers, name)) for name in RowIdentifiers.model_fields]
        given = [(("fields", name), sources) for name, sources in (self.fields or {}).items()]
        for place, sources in (*who, *given, (("event",), self.event), (("timestamp",), self.timestamp)):
            if any(isinstance(source, Path) and not source.starts_at_product for source in sources):
                raise misplaced(
                    [(place, "must be a column of the row: a path that begins with $. has no meaning here")]
                )
        return self

    @model_validator(mode="after")
    def _check_object(self) -> Self:
        allowed = MODES[self.object]
        if self.mode is not None and self.mode not in allowed:
            raise misplaced([(("mode",), f"must be {' or '.join(allowed)} for object {self.object}")])
        for key, objects in _FOR.items():
            if key in self.model_fields_set and self.object not in objects:
                raise misplaced([((key,), f"is for object {' and '.join(objects)}, and this one is {self.object}")])
        if self.object == "audience" and self.segment is None:
            raise misplaced([(("segment",), "is required for object audience: its external_id and name")])
        if self.object == "audience" and self.mode is None:
            raise misplaced([(("mode",), "is required for object audience: mirror, add or remove")])
        if self.how == "mirror" and self.duplicates == "reject":
            raise misplaced(
                [(("duplicates",), "must be refuse, first or last for a mirror: it removes who is missing")]
            )
        if self.fields is not None and self.skip:
            raise misplaced([(("skip",), "is of use without `fields` only: leave the columns out there")])
        return self

    @model_validator(mode="after")
    def _check_consent(self) -> Self:
        if self.object != "subscribers":
            return self
        if (consent := self.consent) is None:
            raise misplaced([(("consent",), "is required for object subscribers: its column, values and channels")])
        for key, mode in (("opt_in", "add"), ("opt_out", "remove")):
            if self.how == mode and not getattr(consent, key):
                raise misplaced([(("consent", key), f"is required for mode {mode}")])
        if self.source.csv is not None:
            for key in ("opt_in", "opt_out"):
                if any(not isinstance(value, str) for value in getattr(consent, key)):
                    raise misplaced(
                        [(("consent", key), 'must be text in quotes, such as "yes": CSV contains only text')]
                    )
        return self

    @property
    def how(self) -> Mode:
        """Its mode, or the default of its object."""
        return self.mode or MODES[self.object][0]


_FOR: Final[Mapping[str, tuple[Object, ...]]] = {
    "event": ("events",),
    "timestamp": ("events", "purchases"),
    "horizon_hours": ("events", "purchases"),
    "segment": ("audience",),
    "consent": ("subscribers",),
    "removals": ("audience", "subscribers"),
    "bulk_from": ("attributes",),
    "fields": ("attributes", "events", "purchases"),
    "skip": ("attributes", "events", "purchases"),
    "types": ("attributes", "events", "purchases"),
}
