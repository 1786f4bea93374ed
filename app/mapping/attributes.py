"""Traits of an identify call as Attentive's attributes: v2 with its named fields, or v1 with custom attributes only."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from app.counted import LeftOut
from app.identity.extract import IdentityRules
from app.mapping.attribute_types import AttributeType, Scalar, accepts, as_text, type_of
from app.mapping.cleaning import ATTRIBUTE_NAME_CHARS, ATTRIBUTES, clean_name
from app.mapping.converters import TYPES
from app.mapping.expressions import ABSENT, Evaluation, Expression
from app.mapping.well_known import PRECISE_LOCATION, named_fields
from app.rights import PROVISIONAL
from app.segment.paths import Steps
from app.value import Value

IDENTIFIER_TRAITS: Final = frozenset({"email", "phone", "id", "userId", "anonymousId"})
_NOTHING: Final = frozenset[str]()
NAMES: Final = 100  # Attentive's maximum, for all people together
_PUBLIC_SHARE: Final = 0.5  # the share of these names that public sources may use up


@dataclass(frozen=True, slots=True)
class Traits:
    """Which traits become attributes: some kept, some dropped, some renamed and some added, in this order.

    Names are dotted. Each includes everything below it.
    """

    keep: tuple[str, ...] | None = None  # None: all but the identifiers
    drop: tuple[Steps, ...] = ()
    rename: tuple[tuple[str, str], ...] = ()
    add: tuple[tuple[str, Expression], ...] = ()

    def read(self, evaluation: Evaluation, identifiers: frozenset[str]) -> Iterator[tuple[str, Any]]:
        """Each trait by its dotted name, without `identifiers`, unless they are renamed."""
        if self == AS_THEY_CAME:
            yield from _leaves(evaluation.event.traits, "", identifiers)
            return
        added = {name: value for name, each in self.add if (value := each.read(evaluation)) is not ABSENT}
        yield from _leaves(added, "", _NOTHING)
        identifiers -= {old for old, _ in self.rename}
        keep, drop = self.keep, tuple(map(".".join, self.drop))
        for path, value in _leaves(evaluation.event.traits, "", identifiers):
            if (keep is None or _below(path, keep)) and not _below(path, drop) and path not in added:
                yield self._renamed(path), value

    def _renamed(self, path: str) -> str:
        for old, new in self.rename:
            if _below(path, (old,)):
                return new + path[len(old) :]
        return path


AS_THEY_CAME: Final = Traits()
_PREFIX_CHARS: Final = 256  # longer than any attribute's name: such traits are left out anyway


def _below(path: str, names: tuple[str, ...]) -> bool:
    return any(path == name or path.startswith(name + ".") for name in names)


def _leaves(traits: Mapping[str, Any], prefix: str, leave_out: frozenset[str]) -> Iterator[tuple[str, Any]]:
    entered = [(prefix, iter(traits.items()))]  # nested generators would pass each leaf through every depth
    while entered:
        prefix, items = entered[-1]
        for key, value in items:
            path = prefix + key
            if value is None or not key or path in leave_out:
                continue
            if isinstance(value, dict):
                entered.append((path[:_PREFIX_CHARS] + ".", iter(value.items())))
                break
            yield path, value
        else:
            entered.pop()


@dataclass(frozen=True, slots=True)
class AttributeRules:
    """One destination's settings for traits."""

    identifiers: frozenset[str] = IdentityRules().traits  # dotted; they name the person and are not attributes
    join_lists: bool = True  # a list of scalars becomes text; False: it is left out
    precise_location: bool = False  # whether latitude and longitude are sent
    most_names: int | None = NAMES  # how many custom attributes the account may have; None: any number
    types: Mapping[str, AttributeType] = field(default_factory=dict)  # declared types outweigh the first type seen
    secondary: str | None = None  # the attribute that holds the contact that is not the account's primary identifier
    defines: bool = True  # whether the source defines types; if not, the types of its new attributes are provisional

    def __post_init__(self) -> None:
        object.__setattr__(self, "identifiers", self.identifiers | IDENTIFIER_TRAITS)


class AttributeGuard(Value, frozen=True, gc=False):
    """Checks the attributes of one event against the account's known ones, and collects the new ones.

    A value of another type than its attribute's is left out on its own: Attentive would refuse the whole call forever.
    """

    rules: AttributeRules
    known: Mapping[str, str]  # name → type, of all people so far
    added: Mapping[str, Scalar] | None = None  # attributes added by the settings, by name
    first_seen: dict[str, str] = msgspec.field(default_factory=dict)  # name → type, of new attributes
    counts: list[str] = msgspec.field(default_factory=list)  # fields of the counters

    def passed(self, name: str, value: Scalar, notes: list[str]) -> Scalar | None:
        """The value in the form to send. None if the account cannot accept it."""
        known = self.known.get(name)
        kind = self._binding(known)
        if known is None and not self._has_room(name):
            self.counts.append(LeftOut(None).field)
            notes.append(f"traits: {name!r} would be one more than the account's {self._most_names}, left out")
            return None
        declared = self.rules.types.get(name)
        if declared is not None and (coerced := TYPES[declared].convert(value)) is not None:
            if type(coerced) is not type(value):
                notes.append(f"traits: {name!r} sent as {TYPES[declared].wanted}, as declared")
            value = coerced
        if (kind := declared or kind) is not None and not accepts(value, kind):
            self.counts.append(LeftOut(name).field)
            notes.append(f"traits: {name!r} is a {kind} in this account, here it is a {type_of(value)}, left out")
            return None
        if known is None or (self.rules.defines and known.endswith(PROVISIONAL)):
            self.first_seen[name] = (kind or type_of(value)) + ("" if self.rules.defines else PROVISIONAL)
        return value

    def _binding(self, known: str | None) -> str | None:
        """The stored type that binds a value of this source. Provisional types do not bind trusted sources."""
        if known is None or not known.endswith(PROVISIONAL):
            return known
        return None if self.rules.defines else known.removesuffix(PROVISIONAL)

    @property
    def _most_names(self) -> int | None:
        """The number of names that the account may have. Public sources leave half of them to trusted ones."""
        most = self.rules.most_names
        return most if most is None or self.rules.defines else int(most * _PUBLIC_SHARE)

    def _has_room(self, name: str) -> bool:
        most = self._most_names
        return most is None or name in self.rules.types or len(self.known) + len(self.first_seen) < most


def user_attributes(traits: Traits, evaluation: Evaluation, guard: AttributeGuard) -> dict[str, Any] | None:
    """`attributes` of a v2 user attributes call. None if the traits hold only identifiers."""
    flat = _all_of(traits, evaluation, guard)
    attributes = named_fields(flat, evaluation.notes)
    if custom := _custom(flat, guard, evaluation.notes):
        attributes["custom"] = custom
    return attributes or None


def custom_attributes(traits: Traits, evaluation: Evaluation, guard: AttributeGuard) -> dict[str, Any] | None:
    """`properties` of a v1 custom attributes call. None if the traits hold only identifiers."""
    return _custom(_all_of(traits, evaluation, guard), guard, evaluation.notes) or None


def _all_of(traits: Traits, evaluation: Evaluation, guard: AttributeGuard) -> dict[str, Scalar]:
    """The traits that become attributes, and the attributes that the settings add."""
    flat = flattened(traits, evaluation, guard.rules)
    return flat if guard.added is None else {**flat, **guard.added}


def _custom(flat: Mapping[str, Scalar], guard: AttributeGuard, notes: list[str]) -> dict[str, Scalar]:
    """At most a hundred, under names that Attentive accepts."""
    custom: dict[str, Scalar] = {}
    numbers: dict[str, int] = {}  # for names that several became: the next number to try
    for path, value in flat.items():
        long = len(path) > ATTRIBUTE_NAME_CHARS  # as its name would be: cleaning it costs more the longer it is
        name = path if long or path.isidentifier() else _name(path, flat, custom, numbers, notes)
        if len(name) > ATTRIBUTE_NAME_CHARS:
            notes.append(f"traits: a name of more than {ATTRIBUTE_NAME_CHARS} characters, left out")
        elif len(custom) == ATTRIBUTES:
            notes.append(f"traits: more than {ATTRIBUTES}, the rest is left out")
            break
        elif (passed := guard.passed(name, value, notes)) is not None:
            custom[name] = passed
    return custom


def _name(
    path: str, flat: Mapping[str, Scalar], taken: Mapping[str, Scalar], numbers: dict[str, int], notes: list[str]
) -> str:
    """The attribute name for a trait: `_` replaces dots and forbidden characters, and the name is unique."""
    plain = path.replace(".", "_")
    name = clean_name(plain)
    if name != plain:
        notes.append(f"traits: a name with forbidden characters became {name!r}")
    candidate, number = name, numbers.get(name, 2)
    while candidate in taken or (candidate != path and candidate in flat):
        candidate, number = f"{name}_{number}", number + 1
    if candidate != name:
        numbers[name] = number
        notes.append(f"traits: two names become {name!r}, one of them is sent as {candidate!r}")
    return candidate


def flattened(traits: Traits, evaluation: Evaluation, rules: AttributeRules) -> dict[str, Scalar]:
    """The traits that are not identifiers, as scalars by dotted path. Blank text counts as absent, like null."""
    flat: dict[str, Scalar] = {}
    notes = evaluation.notes
    for path, value in traits.read(evaluation, rules.identifiers):
        if isinstance(value, list):
            value = _joined(value) if rules.join_lists else None
            if value is None:
                notes.append(f"traits.{path}: a list, left out")
                continue
        if path in PRECISE_LOCATION and not rules.precise_location:
            notes.append(f"traits.{path}: a precise location, left out")
        elif path in flat:
            notes.append("traits: a dotted name and a nested one are equal, the first one is sent")
        elif not isinstance(value, str) or value.strip():
            flat[path] = value
    return flat


def _joined(values: list[Any]) -> str | None:
    """A list of scalars as text: "red, 42, true". None for any other list."""
    given = [value for value in values if value is not None]
    return ", ".join(map(as_text, given)) if all(isinstance(value, str | int | float) for value in given) else None
