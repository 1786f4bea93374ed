"""The message on a page after an action, by the code and count in its URL. Never a text from the URL. Pure."""

from collections.abc import Mapping
from typing import Final

NOTES: Final[Mapping[str, tuple[str, str]]] = {  # for one and for several; {n} is the count
    "resumed": ("1 hold ended. Sending begins now.", "{n} holds ended. Sending begins now."),
    "nothing-held": ("Nothing was held.", "Nothing was held."),
    "edited": (
        "The dead letter was changed. It has a new ID.",
        "{n} fields were changed. It has a new ID.",
    ),
    "unchanged": ("Nothing was changed.", "Nothing was changed."),
    "replayed": ("The call waits in its lane again.", "{n} calls wait in their lanes again."),
    "dropped": ("The event was dropped on purpose by the mapping in force.", "{n} events were dropped."),
    "still-fails": ("The event still cannot become a call. Edit it, or change the mapping.", "{n} still fail."),
    "gone": ("It was already gone: replayed, deleted or evicted.", "{n} were already gone."),
    "deleted": ("It was deleted.", "{n} were deleted."),
    "discarded": ("The call was discarded.", "{n} calls were discarded."),
    "kept": ("The calls go to the new account now.", "The calls go to the new account now."),
    "tested": ("The token was tested just now.", "The token was tested just now."),
    "revoked": ("The session was ended.", "{n} sessions were ended."),
    "mapping-changed": ("The mapping was written and is in use here.", "The mapping was written and is in use here."),
    "erasing": ("The erasure was requested. A worker carries it out.", "{n} erasures were requested."),
    "muted": ("Muted. What is still so afterwards is sent then.", "Muted."),
    "unmuted": ("The mute has ended.", "The mute has ended."),
    "channel-works": ("The channel took the test message.", "The channel took the test message."),
    "channel-fails": ("The channel did not take the test message. Check its address.", "The channel fails."),
    "sync-stopped": ("The run was stopped. Nothing of it is lost: continue it.", "The run was stopped."),
    "stopping": ("The replay stops after the call in hand.", "The replay stops after the call in hand."),
}


def note_of(query: Mapping[str, str]) -> str:
    """The message for a query, or an empty text."""
    texts = NOTES.get(query.get("note", ""))
    if texts is None:
        return ""
    text = query.get("n", "1")
    count = int(text) if text.isascii() and text.isdecimal() and len(text) < 12 else 1
    return texts[0] if count == 1 else texts[1].replace("{n}", f"{count:,}")
