"""Texts that senders write in place of a missing value: `undefined`, `(null)`, `guest`, `{{ user.id }}`. Pure.

If they counted as identifiers, all people with such a text would become one person, at Attentive and in the profiles,
and could not be separated again. So wherever an identifier is expected, such a text counts as no value.

The words are those that trackers and shops are known to send (including PostHog's list of illegal distinct IDs).
`test` and similar words are listed, because every team uses them and no customer has such a name. `1` and `admin` are
not, because databases count from 1 and a shop may have an account with that name.
"""

import re
import unicodedata
from typing import Final

_IGNORED: Final = (
    bytes(range(32)) + b" \x7f\"'`()[]<>{}_-./\\:?*#|~"
)  # within a word: `N/A`, `not_set`, `(none)`, `"null"`
_AROUND: Final = " \t\r\n\"'`"
_LONGEST: Final = 100  # characters; longer texts are not placeholders
_TEMPLATES: Final = (
    "{{",
    "${",
    "#{",
    "<%",
    "<?",
    "%%",
    "%7b%7b",
    "*|",
    "@{",
)  # an expression that a template should have replaced
_DOUBTFUL: Final = "{$#<%*@-\u2212" + _AROUND  # begin a template, or -1
_EXPONENTIAL: Final = frozenset(".eE")  # the second character of a number with an exponent
_DIGITS: Final = frozenset("123456789")
_ROUNDED = re.compile(r"\d\.\d+[eE]\+?\d{1,2}|\d[eE]\+\d{1,2}")  # as spreadsheets print long numbers: 1.23457E+11
_EXACTLY: Final = frozenset({"\\N", "-1.00", "-1", "-1.0", "\u22121"})

PLACEHOLDERS: Final = frozenset(  # without case, blanks and punctuation
    {
        # printed by programs for a missing value
        *("undefined", "null", "none", "nil", "nan", "nul", "void", "false", "true", "objectobject", "nullnull"),
        *("undefinedundefined", "nonenone", "string", "uuid", "infinity", "invaliddate", "nonetype", "undef"),
        *("objectnull", "objectundefined", "objectpromise", "objectarray", "objectwindow", "objectfunction"),
        # printed by spreadsheets: #REF!, #VALUE!, #NAME?
        *("ref!", "value!", "name", "num!", "div0!", "null!"),
        # formats that were not filled in: %s, %user_id%, $user_id
        *("%s", "%d", "%@", "%userid%", "$userid", "%email%", "$email", "%id%", "$id"),
        # typed by people
        *("na", "notavailable", "notapplicable", "unknown", "unknownuser", "unspecified", "notset", "unset", "tbd"),
        *("notprovided", "notspecified", "notdefined", "missing", "empty", "blank", "default", "nobody", "notfound"),
        *("noid", "nouser", "nouserid", "noname", "nodata", "noemail", "nophone", "placeholder"),
        # visitors without an account
        *("guest", "guestuser", "guestcheckout", "guestcustomer", "anonymous", "anonymoususer", "anonymouscustomer"),
        *("gast", "invitado", "invitada", "invit\u00e9", "invit\u00e9e", "convidado", "ospite", "anonyme", "anonym"),
        *("an\u00f3nimo", "an\u00f4nimo", "anonimo", "unbekannt", "\u30b2\u30b9\u30c8"),
        *("anon", "visitor", "notauthenticated", "unauthenticated", "notloggedin", "loggedout", "notsignedin"),
        # the name of the field in place of its value
        *("id", "userid", "user", "username", "customerid", "customer", "clientid", "visitorid", "anonymousid"),
        *("distinctid", "externalid", "email", "emailaddress", "phone", "phonenumber", "profileid", "contactid"),
        # tests
        *("test", "testuser", "testing", "testcustomer", "dummy", "sample", "example", "demo", "foo", "foobar"),
        "f" * 32,  # the largest UUID (RFC 9562); the smallest is made of zeros
    }
)


def is_placeholder(text: str, more: frozenset[str] = frozenset()) -> bool:
    """Whether a text states no value. `more` are additional placeholders, as `placeholder_word` returns them."""
    if text[:1] not in _DOUBTFUL and not more and not _DIGITS.isdisjoint(text):  # nearly every ID
        return text[1:2] in _EXPONENTIAL and _is_rounded(text)
    if len(text) > _LONGEST:
        return False
    word = placeholder_word(text)
    return (
        word in PLACEHOLDERS
        or not word.strip("0")
        or word in more
        or text.lstrip(_AROUND).lower().startswith(_TEMPLATES)
        or text.strip(_AROUND) in _EXACTLY
        or _is_rounded(text.strip(_AROUND))
    )


def _is_rounded(text: str) -> bool:
    """Whether a text is a long number without its last digits: all IDs with equal first digits become this text."""
    if not _ROUNDED.fullmatch(text):
        return False
    digits, _, exponent = text.lower().partition("e")
    return len(digits.partition(".")[2]) < int(exponent)


def placeholder_word(text: str) -> str:
    """A text in the form for comparison: without case, blanks, punctuation and invisible characters."""
    if not text.isascii():
        text = "".join(
            each
            for each in unicodedata.normalize("NFKC", text)
            if unicodedata.category(each)[0] not in "CPZ" or each.isascii()
        )
    return text.casefold().encode("utf-8", "surrogatepass").translate(None, _IGNORED).decode("utf-8", "surrogatepass")
