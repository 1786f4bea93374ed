"""The guard: what may be kept of an event, and what was withheld.

It acts on the event as received, before any of it is stored, logged or mapped. Two quick checks decide whether an event
must be walked at all. Most need not.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from typing import Any, ClassVar, Final, Generic, TypeVar

import orjson

from app.privacy.detectors import NUMBERS, Budget, Span, found_in, is_card, is_whole_card, might_hold_numbers
from app.privacy.identifiers import IdentifierNames
from app.privacy.names import SecretNames, names_in_pair
from app.privacy.paths import Paths, normal_path
from app.privacy.policy import Action, Check, Finding, Policy
from app.value import Value

REDACTED: Final = "REDACTED"
# These fields identify an event and its person. A tenth of all long numbers would pass for card numbers, and people
# who lost their IDs to that would all become one: these values are kept as received.
IDS: Final = frozenset({"messageId", "userId", "anonymousId", "previousId", "groupId"})
# Without one of these, an event would be refused or become another event: they are never removed.
_KEPT: Final = frozenset({"type", "event", "name", "category", "timestamp", "originalTimestamp", "sentAt", "version"})
MOST_GROWTH: Final = 1_024  # bytes that REDACTED may add to an event
MOST_REDACTED: Final = 100  # places in one event; beyond them, withheld values are removed without a mark

_ASSIGNED: Final = re.compile(r"(?<![\w.\-\[\]%])([\w.\-\[\]%]++)(=)([^\s&;#\"'\\,}]++)")  # page?password=…
_QUOTED: Final = re.compile(r'(?<=")([^"\\]{1,64})(\\*+"\s*+:\s*+\\*+"?)([^"\\,}]++)')  # JSON within text
_PATH_CHARS: Final = 200  # of a finding: names come from outside, and may be long
_LONGEST_PATH: Final = 1_024  # characters; fields below a longer path share it
_ID_CHARS: Final = 256  # of an identifier; longer values are text
_SMALLEST_CARD: Final = 10**13
_SHORTEST: Final = len("pin=0")
_SHORTEST_NUMBER: Final = len("123-45-6789")
_LONG_WORD: Final = re.compile(r"[^\W\d_]{2,}")
_BACKSLASH, _EQUALS = b"\\="  # integers: looking for one byte as bytes takes five times as long
_GONE: Final = object()
_Verdict = TypeVar("_Verdict")


class Inspected(Value, frozen=True, gc=False):
    """What may be kept of one event. `event` differs from what the tracker sent if there are findings."""

    event: Any
    json: bytes  # `event` as JSON
    findings: tuple[Finding, ...] = ()

    personal: ClassVar = frozenset({"event", "json"})


class Guard:
    """Withholds what one destination's policy names. It remembers harmless field names, and nothing else of events."""

    def __init__(self, policy: Policy | None = None, *, salt: bytes = b"") -> None:
        """Without a policy: everything that is on by default.

        `salt` (at most 64 bytes, secret) is part of the digests that replace withheld identifiers, so that different
        identifiers stay different.
        """
        policy = policy or Policy()
        self.actions = policy.actions
        self.on = frozenset(check for check in Check if policy.actions[check] is not Action.OFF)
        self.deny, self.allow = Paths(policy.deny), Paths(policy.allow, always=policy.identifiers)
        self.secrets = SecretNames(policy.secret_names, policy.harmless_names)
        self.ids = IdentifierNames(policy.id_names)
        self.identifiers = frozenset({*IDS, *policy.identifiers})
        self.numbers = tuple(check for check in NUMBERS if check in self.on)
        self.names = Check.SECRET in self.on
        self.denies = bool(policy.deny) and Check.DENIED in self.on
        self.allows = bool(policy.allow) and Check.NOT_ALLOWED in self.on
        self.salt = salt

    def inspect(self, event: Any, json: bytes) -> Inspected:
        """One event, not yet parsed, and its JSON. Neither is changed: changed parts are copied.

        A clean event of 800 bytes takes 5 µs, a walked event about 60. The result is at most MOST_GROWTH longer
        than the event: if REDACTED would exceed that, withheld values leave no mark. Raises RecursionError for an event
        that is nested too deeply.
        """
        if type(event) is not dict or not self._suspects(event, json):
            return Inspected(event, json)
        walk = _Walk(self, _Judged(self, len(json)))
        try:
            guarded = walk.object(event, "")
            kept = orjson.dumps(guarded) if walk.findings else json
            floods = len(kept) > len(json) + MOST_GROWTH
        except _FloodError:
            floods = True
        if floods:
            walk = _Walk(self, walk.judged, leave_nothing=True)
            guarded = walk.object(event, "")
            kept = orjson.dumps(guarded)
        return Inspected(guarded, kept, walk.findings) if walk.findings else Inspected(event, json)

    def _suspects(self, event: Mapping[str, Any], json: bytes) -> bool:
        """Whether the event must be walked. False positives are allowed, false negatives are not."""
        if self.denies or self.allows or _BACKSLASH in json:  # an escape hides where a word begins
            return True
        if self.numbers and might_hold_numbers(json):
            return True
        if not self.names:
            return False
        return self.secrets.any_key(event, json) or (_EQUALS in json and self.secrets.any_assigned(json))


class _FloodError(Exception):
    """There is more to withhold than in any honest event."""


class _Judgements(dict[str, _Verdict], Generic[_Verdict]):
    """Verdicts about texts. Each text is judged when it is first looked up."""

    __slots__ = ("_judge",)

    def __init__(self, judge: Callable[[str], _Verdict]) -> None:
        self._judge = judge

    def __missing__(self, text: str) -> _Verdict:
        verdict = self[text] = self._judge(text)
        return verdict


class _Judged:
    """Verdicts about the names and texts of one event. Each is judged once, even if the event repeats it or is walked
    twice.
    """

    def __init__(self, guard: Guard, json_bytes: int) -> None:
        self._on = guard.on
        self._budget = Budget(json_bytes)
        self.spans = _Judgements(self._spans)  # None: the budget is spent
        self.is_secret = _Judgements(guard.secrets.__contains__)
        self.is_id = _Judgements(guard.ids.__contains__)

    def _spans(self, text: str) -> list[Span] | None:
        found = found_in(text, self._budget)
        return None if self._budget.left < 0 else [span for span in found if span.check in self._on]


class _Walk:
    """One walk through one event. A `path` is the current place, without list indexes."""

    def __init__(self, guard: Guard, judged: _Judged, *, leave_nothing: bool = False) -> None:
        self.judged = judged
        self._guard = guard
        self._leave_nothing = leave_nothing  # in place of withheld values
        self._count = 0  # of withheld values
        self._found: dict[tuple[str, Check], Finding] = {}

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What was withheld so far, each place once, in order."""
        return tuple(self._found.values())

    def object(self, given: Mapping[str, Any], path: str) -> dict[str, Any]:
        """The same object without what is withheld."""
        kept: dict[str, Any] = {}
        naming = names_in_pair(given) if "value" in given else ()
        doubles = 0
        for key, value in given.items():
            name = key if len(key) < _SHORTEST else self._text(key, _below(path, "*"), "")
            if name is _GONE:
                continue
            own = name
            if name in kept:  # two names that both contained a number
                own, doubles = _free(name, kept, given, doubles)
            fate = self._field(_below(path, own), name, value, naming if naming and key == "value" else ())
            if fate is not _GONE:
                kept[own] = fate
        return kept

    def _field(self, path: str, key: str, value: Any, naming: Sequence[str]) -> Any:
        """The new value of a field. `naming` are its names in fields next to it, as in a recorded form."""
        guard = self._guard
        if guard.denies and (len(path) > _LONGEST_PATH or guard.deny.cover(path)):
            return self._withheld(Check.DENIED, path, key, value)
        holds_more = type(value) in (dict, list)
        if not holds_more and (normal_path(path) if path.startswith("context.") else path) in guard.identifiers:
            return value
        if guard.allows and not guard.allow.let_through(path, holds_more=holds_more):
            return self._withheld(Check.NOT_ALLOWED, path, key, value)
        if guard.names and self._is_secret(path, key, value, naming) and _tells_something(value):
            return self._withheld(Check.SECRET, path)
        if naming:
            key = next((name for name in naming if self.judged.is_id[name]), key)
        return self._value(value, path, key)

    def _is_secret(self, path: str, key: str, value: Any, naming: Sequence[str]) -> bool:
        if naming and type(value) is str and any(self.judged.is_secret[name] for name in naming):
            return True
        return self.judged.is_secret[key] and path != "context.device.token"

    def _value(self, value: Any, path: str, key: str) -> Any:
        kind = type(value)
        if kind is str:
            return value if len(value) < _SHORTEST else self._text(value, path, key)
        if kind is dict:
            return self.object(value, path)
        if kind is list:
            return self._list(value, path, key)
        if value is None or value < _SMALLEST_CARD or self.judged.is_id[key]:  # true and false are small numbers
            return value
        return self._number(value, path)

    def _list(self, given: Sequence[Any], path: str, key: str) -> list[Any]:
        kept = []
        for value in given:
            if type(value) is not str or len(value) >= _SHORTEST:
                value = self._value(value, path, key)
                if value is _GONE:
                    continue
            kept.append(value)
        return kept

    def _number(self, value: float, path: str) -> Any:
        if Check.CARD_NUMBER in self._guard.on and value == int(value) and is_card(str(int(value))):
            return self._withheld(Check.CARD_NUMBER, path)
        return value

    def _text(self, text: str, path: str, key: str) -> Any:
        """The text without what is withheld, or _GONE."""
        guard, kept = self._guard, text
        if guard.numbers and len(text) >= _SHORTEST_NUMBER and might_hold_numbers(b"." + text.encode()):
            kept = self._without_numbers(text, path, key)
        if guard.names and kept is not _GONE and ("=" in kept or '"' in kept):
            kept = self._without_secrets(kept, path)
        return kept

    def _without_numbers(self, text: str, path: str, key: str) -> Any:
        if self.judged.is_id[key]:
            if self._is_identifier(text, key):
                return text
        else:
            key = ""
        spans = self.judged.spans[text]
        if spans is None:
            return self._withheld(self._guard.numbers[0], path, key, text)
        parts, place = [], 0
        for span in spans:
            parts += [text[place : span.start], self._withheld(span.check, path, key, text[span.start : span.end])]
            place = span.end
        if spans and self._leave_nothing:
            return parts[1]
        return _GONE if _GONE in parts else "".join([*parts, text[place:]])

    def _is_identifier(self, text: str, key: str) -> bool:
        """Whether a text in a field for identifiers is one: neither a sentence nor a card number as people write it."""
        if len(text) > _ID_CHARS:
            return False
        if " " in text and len(_LONG_WORD.findall(text)) > 1:
            return False
        return self._guard.ids.may_have_blanks(key) or not is_whole_card(text)

    def _without_secrets(self, text: str, path: str) -> Any:
        fates = []

        def without_secret(found: re.Match[str]) -> str:
            name, between, value = found.groups()
            if value.startswith(REDACTED) or not self.judged.is_secret[name]:
                return found[0]
            fates.append(self._withheld(Check.SECRET, path))
            return f"{name}{between}{REDACTED}"

        text = _QUOTED.sub(without_secret, _ASSIGNED.sub(without_secret, text))
        if fates and self._leave_nothing:
            return fates[0]
        return _GONE if _GONE in fates else text

    def _withheld(self, check: Check, path: str, key: str = "", value: Any = None) -> Any:
        """The replacement of a withheld value: REDACTED, or _GONE.

        Identifiers stay different: two orders must not become one because their numbers are withheld.
        """
        self._count += 1
        if self._count > MOST_REDACTED and not self._leave_nothing:
            raise _FloodError
        action = self._guard.actions[check]
        if (found := (path[:_PATH_CHARS], check)) not in self._found:
            self._found[found] = Finding(*found, action)
        if (action is Action.DROP_FIELD and "." in path) or (self._leave_nothing and path not in _KEPT):
            return _GONE
        if value is None or not key or not self.judged.is_id[key]:
            return REDACTED
        return f"{REDACTED}-{blake2b(repr(value).encode(), key=self._guard.salt, digest_size=8).hexdigest()}"


def _below(path: str, name: str) -> str:
    """The path of a field of the object at this path."""
    return name if not path else path if len(path) > _LONGEST_PATH else f"{path}.{name}"


def _free(name: str, kept: Mapping[str, Any], given: Mapping[str, Any], doubles: int) -> tuple[str, int]:
    """A similar name that is not taken, and the number of names tried so far."""
    candidate = f"{name}_"
    while candidate in kept or candidate in given:
        doubles += 1
        candidate = f"{name}_{doubles + 1}"
    return candidate, doubles


def _tells_something(value: Any) -> bool:
    """Whether a field named like a secret can contain one: `has_password: true` and a blank cannot."""
    return not isinstance(value, bool) and value not in (None, "", REDACTED)
