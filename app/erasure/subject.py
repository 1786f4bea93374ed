"""The person of an erasure: their identifiers, and how stored JSON is recognised as theirs. Pure."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import zip_longest
from typing import Any, Final, Self

import orjson
import phonenumbers

from app.delivery.journal.search_hashes import Kind, search_hash
from app.delivery.last_sent import who

ID_CHARS: Final = 8  # an id this long is looked for everywhere; a shorter one, such as 42, only where ids stand
_SENT_CHARS: Final = (
    100  # of an identifier, Attentive's most: a longer one was never sent, and spoils what stands beside it
)
_ID_FIELDS: Final = "userId|previousId|anonymousId|clientUserId|user_id|customer_id"
_ADDRESS: Final = re.compile(r"\s*[^@\s]+@[^@\s]+\s*")
_E164: Final = re.compile(r"\+[1-9]\d{6,14}")
_GAPS: Final = r"[\s().\-/]{0,3}"  # between the digits of a written phone number


@dataclass(frozen=True)
class Subject:
    """One person. `repr=False`: logs and tracebacks show no identifier."""

    emails: frozenset[str] = field(default=frozenset(), repr=False)  # normalised
    phones: frozenset[str] = field(default=frozenset(), repr=False)  # E.164
    user_ids: frozenset[str] = field(default=frozenset(), repr=False)
    anonymous_ids: frozenset[str] = field(default=frozenset(), repr=False)

    @classmethod
    def of(
        cls,
        *,
        emails: Iterable[str] = (),
        phones: Iterable[str] = (),
        user_ids: Iterable[str] = (),
        anonymous_ids: Iterable[str] = (),
    ) -> "Subject":
        """A person by normalised addresses and numbers. A user id that is one itself counts as both."""
        ids = frozenset(user_ids)
        addresses = {each.strip().lower() for each in ids if _ADDRESS.fullmatch(each)}
        numbers = {each for each in ids if _E164.fullmatch(each)}
        return cls(frozenset(emails) | addresses, frozenset(phones) | numbers, ids, frozenset(anonymous_ids))

    def __bool__(self) -> bool:
        """Whether any identifier is given."""
        return any(self._by_kind().values())

    def __or__(self, other: "Subject") -> "Subject":
        """The identifiers of both."""
        return Subject(
            self.emails | other.emails,
            self.phones | other.phones,
            self.user_ids | other.user_ids,
            self.anonymous_ids | other.anonymous_ids,
        )

    def __sub__(self, other: "Subject") -> "Subject":
        """The identifiers of this one that the other lacks."""
        return Subject(
            self.emails - other.emails,
            self.phones - other.phones,
            self.user_ids - other.user_ids,
            self.anonymous_ids - other.anonymous_ids,
        )

    def to_json(self) -> bytes:
        """The stored form."""
        return orjson.dumps({kind: sorted(values) for kind, values in self._by_kind().items() if values})

    @classmethod
    def from_json(cls, stored: bytes) -> Self:
        """Raises ValueError."""
        kinds: Mapping[str, list[str]] = orjson.loads(stored)
        return cls(**{kind: frozenset(values) for kind, values in kinds.items()})

    @property
    def counts(self) -> dict[str, int]:
        """The number of identifiers of each kind, without any of them."""
        return {kind: len(values) for kind, values in self._by_kind().items() if values}

    @property
    def kinds(self) -> list[Kind]:
        """By which kinds of identifiers the person is known, without any of them."""
        return [kind for kind, values in self._by_kind().items() if values]

    @cached_property
    def search_hashes(self) -> frozenset[int]:
        """What the journal's records of their events carry, see search_hashes.py."""
        return frozenset(search_hash(kind, value) for kind, values in self._by_kind().items() for value in values)

    @cached_property
    def last_sent_parts(self) -> frozenset[str]:
        """Parts of the names of the keys of the last calls about them, see last_sent.py."""
        pairs = (("email", self.emails), ("phone", self.phones), ("clientUserId", self.user_ids))
        return frozenset(who(kind, value) for kind, values in pairs for value in values)

    def named_in(self, stored: str) -> bool:
        """Whether this JSON, a delivery or a dead letter, names the person: by whatever they are known, anywhere."""
        return self._names.search(stored) is not None

    @cached_property
    def _names(self) -> re.Pattern[str]:
        forms = [rf"(?<![\w.+%-])(?i:{re.escape(_escaped(email))})(?![\w-]|\.\w)" for email in self.emails]
        forms += map(_written_phone, self.phones)
        for value in self.user_ids | self.anonymous_ids:
            text = re.escape(_escaped(value))
            forms.append(rf'"(?:{_ID_FIELDS})":(?:"\s*{text}\s*"|{text}(?![^,}}]))')
            if len(value) >= ID_CHARS:
                forms.append(rf"(?<![\w-]){text}(?![\w-])")
        return re.compile("|".join(forms) if forms else r"(?!)")

    def unsubscribe_bodies(self) -> list[dict[str, Any]]:
        """Calls that end all their subscriptions. Said without a text to them, so that a repeat is harmless."""
        users = ({"phone": phone, "email": email} for phone, email in _rows(self.phones, self.emails))
        return [{"user": _present(user), "notification": {"disabled": True}} for user in users]

    def delete_bodies(self, message: str) -> list[dict[str, Any]]:
        """Attentive's delete requests about them, each with this audit note."""
        named = (
            {"subjectEmail": email, "subjectPhone": phone, "clientUserId": user_id}
            for email, phone, user_id in _rows(self.emails, self.phones, self.user_ids)
        )
        return [_present(subject) | {"requestMsg": message} for subject in named]

    def _by_kind(self) -> dict[Kind, frozenset[str]]:
        return {
            "emails": self.emails,
            "phones": self.phones,
            "user_ids": self.user_ids,
            "anonymous_ids": self.anonymous_ids,
        }


def _escaped(text: str) -> str:
    """As it stands in JSON."""
    return orjson.dumps(text).decode()[1:-1]


def _written_phone(e164: str) -> str:
    """The number however it is written: with or without its country's code, with blanks, dots, dashes and brackets."""
    number = phonenumbers.parse(e164)
    national, code = phonenumbers.national_significant_number(number), str(number.country_code)
    spaced = _GAPS.join(national)
    return rf"(?<![\w.])(?:(?:\+|00)?{code}{_GAPS})?\(?0?\)?{_GAPS}{spaced}(?!\w)"


def _rows(*columns: Iterable[str]) -> Iterable[tuple[str | None, ...]]:
    """One identifier of each column that has one left, of those that Attentive can know."""
    return zip_longest(*(sorted(value for value in column if len(value) <= _SENT_CHARS) for column in columns))


def _present(fields: Mapping[str, str | None]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}
