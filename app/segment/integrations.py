"""The sender's choice of destinations: Segment's `integrations` object. Pure.

A sender writes `false` there to keep an event from a vendor, often because a person has refused. So names and values
are read generously: the event is withheld wherever this is likely to be meant.
"""

import re
from typing import Any, Final

_ALL: Final = "all"
# Attentive's names in trackers, without case, blanks and punctuation.
NAMES: Final = frozenset(
    {
        "attentive",  # Segment (Actions), MetaRouter, Hightouch
        "actionsattentive",  # the key of Segment's action destination
        "attentiveactions",
        "attentivetag",  # RudderStack, also as ATTENTIVE_TAG; Tealium
        "attentivemobile",
        "attentivesms",
        "attentiveapi",
    }
)
# A team's name for its destination: "Attentive - EU".
_FIRST_WORD: Final = re.compile(r"attentive(?![a-z0-9])", re.IGNORECASE)
_NO: Final = frozenset({"false", "no", "off", "0"})


def excluded_by(integrations: Any) -> str | None:
    """The key that excludes Attentive, such as "integrations.All". None if no key does.

    Attentive's own name decides, else `All`, else the event is sent. A null decides nothing. An object of options means
    yes, unless they disable it. If several names of Attentive contradict each other, the no counts. A name that begins
    with Attentive's counts as well.
    """
    if integrations is None:
        return None
    if not isinstance(integrations, dict):
        return "integrations" if _is_no(integrations) else None
    named = False
    everything = None
    for name, wanted in integrations.items():
        if wanted is None:
            continue
        word = _word(name)
        if (word in NAMES or _FIRST_WORD.match(name)) and _is_no(wanted):
            return f"integrations.{name}"
        if word in NAMES:
            named = True
        elif word == _ALL and _is_no(wanted):
            everything = f"integrations.{name}"
    return None if named else everything


def asks_to_unsubscribe(integrations: Any) -> str | None:
    """The place of RudderStack's options that ask to unsubscribe the person. None if there are none."""
    for name, options in integrations.items() if isinstance(integrations, dict) else ():
        if isinstance(options, dict) and _word(name) in NAMES:
            wanted = options.get("identifyOperation")
            if isinstance(wanted, str) and wanted.strip().lower() == "unsubscribe":
                return f"integrations.{name}.identifyOperation"
    return None


def _word(name: str) -> str:
    return "".join(filter(str.isalnum, name.lower()))


def _is_no(wanted: Any) -> bool:
    if isinstance(wanted, str):
        return wanted.strip().lower() in _NO
    if isinstance(wanted, dict) and "enabled" in wanted:
        return not isinstance(wanted["enabled"], dict) and _is_no(wanted["enabled"])
    return wanted is False or (type(wanted) is int and wanted == 0)
