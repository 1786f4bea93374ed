"""E-mail addresses and phone numbers that senders fill in when they have none. Pure.

Each table lists values at which no person receives messages, or which so many people enter that they identify none.
Other shared values are caught later: a value that many people share links nothing (docs/identity.md).
"""

import re
from typing import Final

from app.segment.placeholders import placeholder_word

# Before the @, at any domain: no person has such an address.
_NO_MAILBOX: Final = frozenset(
    {
        *("null", "none", "undefined", "nan", "nil", "na", "noemail", "noemailaddress", "nomail", "notprovided"),
        *(
            "notavailable",
            "noreply",
            "donotreply",
            "nobody",
            "unknown",
            "anonymous",
            "fakeemail",
            "noone",
            "noemailgiven",
        ),
    }
)
# Domains that stand for "no domain", whatever is before the @.
_NO_DOMAIN: Final = frozenset(
    {
        *("null.com", "null.null", "none.com", "none.none", "undefined.com", "undefined.undefined", "noemail.com"),
        *("nomail.com", "noemail.net", "noemail.org", "none.net", "null.net", "test.test", "fake.com", "fakeemail.com"),
    }
)
# Entered at these domains to get past a form. The domains belong to real owners, so other names there count.
_EXAMPLE_DOMAINS: Final = frozenset(
    {
        *("example.com", "example.org", "example.net", "test.com", "test.org", "test.net", "email.com", "mail.com"),
        *(
            "domain.com",
            "yourdomain.com",
            "company.com",
            "website.com",
            "sample.com",
            "demo.com",
            "asdf.com",
            "abc.com",
        ),
        *("aaa.com", "xxx.com", "xyz.com", "gmail.con", "a.com", "foo.com", "bar.com"),
    }
)
_EXAMPLE_MAILBOXES: Final = frozenset(
    {
        *("test", "testing", "tester", "test1", "test123", "testuser", "guest", "user", "username", "email", "mail"),
        *("name", "yourname", "youremail", "you", "me", "customer", "example", "sample", "demo", "someone", "asdf"),
        *("abc", "aaa", "xxx", "xyz", "foo", "foobar", "123", "fake", "dummy", "placeholder"),
    }
)

_REPEATED = re.compile(r".*(\d)\1{6,}")  # ends in seven of one digit
_SEQUENCES: Final = ("01234567890123456789", "98765432109876543210")


def is_placeholder_address(address: str) -> bool:
    """Whether no person has this address (lower case, valid)."""
    local, _, domain = address.rpartition("@")
    if domain in _NO_DOMAIN:
        return True
    word = placeholder_word(local)
    return word in _NO_MAILBOX or not word.strip("0") or (domain in _EXAMPLE_DOMAINS and word in _EXAMPLE_MAILBOXES)


def is_placeholder_number(digits: str) -> bool:
    """Whether no person has this number, given without its country code: it ends in one repeated digit, or counts."""
    return _REPEATED.fullmatch(digits) is not None or any(digits in sequence for sequence in _SEQUENCES)
