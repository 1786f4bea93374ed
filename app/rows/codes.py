"""Why a row was not delivered: each code with its meaning and with what to do. Pure."""

from enum import StrEnum
from typing import Final, NamedTuple


class Code(StrEnum):
    """The reasons that rows alone have. The others are the drop reasons and dead letter reasons of events."""

    KEY_MISSING = "key_missing"
    KEY_DUPLICATE = "key_duplicate"
    VALUE_TYPE = "value_type"
    VALUE_UNSUPPORTED = "value_unsupported"
    EVENT_MISSING = "event_missing"
    CONSENT_UNCLEAR = "consent_unclear"
    IDENTIFIER_SHARED = "identifier_shared"
    INVALID = "invalid"
    NOT_KNOWN = "not_known"
    LOST_SIGHT = "lost_sight"
    JOB_FAILED = "job_failed"


class Help(NamedTuple):
    """What a code means, and what to do about it."""

    meaning: str
    action: str


HELP: Final[dict[str, Help]] = {
    "key_missing": Help("The row has no key.", "Fill the key column, or leave such rows out of the source."),
    "key_duplicate": Help("Another row has this key.", "Make the key unique, or set `duplicates: first` or `last`."),
    "value_type": Help("A value does not have the type that `types` declares.", "Correct the value or the type."),
    "value_unsupported": Help(
        "A column contains a value that JSON cannot represent.", "Convert it in the query, or `skip` the column."
    ),
    "event_missing": Help("The row has no event type.", "Fill the column of `event`, or name a constant."),
    "consent_unclear": Help(
        "The consent column is empty, or has a value that neither `opt_in` nor `opt_out` lists.",
        "Correct the value, or list it in `consent`.",
    ),
    "opted_out": Help(
        "The person has opted out, or another row states so: no row opts anyone in again.",
        "Nothing, or have the person subscribe anew, at a sign-up unit or by an event.",
    ),
    "not_forwarded": Help(
        "The row has no contact of the channels of `consent`.", "Add the phone number or the e-mail address."
    ),
    "identifier_shared": Help(
        "The row links an address, number or ID that more than `identifiers.most_links` (5) others in the source have.",
        "Remove the value from the source where it is not the person's own, or raise `identifiers.most_links`.",
    ),
    "invalid": Help("The row is not a valid event.", "Read the detail, and correct the row."),
    "not_known": Help(
        "The mode is update, and the gateway does not know the person.", "Use `mode: upsert` to create people."
    ),
    "lost_sight": Help(
        "How the row ended cannot be found out any more: the run was continued too late, or its result is gone.",
        "Look the person up at Attentive. The next run sends rows of attributes and identity again.",
    ),
    "job_failed": Help(
        "Attentive did not finish the bulk job of the row.", "Run the sync again: the row is sent once more."
    ),
    "http_413": Help("Attentive found the record too large.", "Send fewer or shorter fields."),
    "no_identity": Help("The row has no identifier.", "Map `identifiers`, or leave the row out."),
    "unusable_identity": Help(
        "No identifier of the row can be sent: the address, the phone number or the ID is not valid.",
        "Correct it. Phone numbers need a country code, or `default_region`.",
    ),
    "no_primary_identifier": Help(
        "The account needs an identifier that the row does not have.", "Add it, or see `identifiers.primary`."
    ),
    "no_content": Help("The row has no content that could be sent.", "Fill at least one field."),
    "not_delivered": Help("The destination delivers to no one, or to test people only.", "See `deliver`."),
    "privacy": Help("The privacy guard lets no such event through.", "See docs/privacy.md, and leave the data out."),
    "erased": Help("The person was erased while the call waited.", "Remove the person from the source, too."),
    "duplicate": Help("The gateway had this event before.", "Nothing: it was taken in once."),
    "unmappable": Help("A value is missing that the call requires.", "Read the detail, and correct the row."),
    "too_large": Help("The call has more bytes than Attentive takes.", "Send fewer or shorter fields."),
    "time_unreadable": Help("The timestamp cannot be read.", "Write it as ISO 8601, with its offset."),
    "too_old": Help("The event happened longer ago than the horizon.", "Run more often, or raise `horizon_hours`."),
    "expired": Help("Attentive accepted no attempt in time.", "Replay its dead letter once Attentive answers."),
    "internal_error": Help("A bug of this gateway.", "Report it with the detail. The call is kept as a dead letter."),
    "http_400": Help("Attentive refused the call.", "Read the answer: `attentive-gateway dead-letters list`."),
    "http_404": Help("Attentive does not know the person or the event type.", "Create it at Attentive, then replay."),
    "review": Help(
        "It is unknown whether Attentive processed the call.", "Decide with `attentive-gateway unknown-outcomes`."
    ),
    "given_up": Help("It is unknown whether Attentive processed the call.", "Look the person up at Attentive."),
}
_OTHER: Final = Help("The call was not delivered.", "See its message ID with `attentive-gateway trace`.")


def help_of(code: str) -> Help:
    """The explanation of a code, and what to do."""
    return HELP.get(code, _OTHER)


class BadRow(Exception):  # noqa: N818 - it names the row
    """A row that cannot become an event. `detail` names the column and the rule, and holds no value.

    `key` is the digest of its key, if it has one.
    """

    def __init__(self, code: Code, detail: str, label: str = "", key: bytes | None = None) -> None:
        super().__init__(detail)
        self.code, self.detail, self.label, self.key = code, detail, label, key
