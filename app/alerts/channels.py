"""Channels: the addresses that messages go to, sent by Apprise. An address holds secrets and is never logged.

Apprise takes 0.1 s and 25 MB to import, and far longer on a busy machine. It is imported where messages are sent or
checked, outside of the event loop: by the process that leads, before its first message. It sends in threads of its own:
one that hangs is given up after 10 s, and may have sent its message.
"""

import asyncio
import logging
from functools import cache
from types import ModuleType
from typing import Any, Final
from urllib.parse import quote, urlsplit

from app.alerts.messages import Message
from app.alerts.state import Kind, Level

TIMEOUT_S: Final = 10.0
_SHORT: Final = 500  # characters: what takes no more, such as an SMS, is sent the title alone
_PAGERDUTY: Final = "pagerduty"
_REFUSED: Final = "it is not reached, or refuses the message"
_NO_ANSWER: Final = f"no answer within {TIMEOUT_S:.0f} s"
_UNUSABLE: Final = "its address is not one that Apprise knows: see https://appriseit.com/services/"


class Post:
    """One channel, as a place to send messages to."""

    def __init__(self, address: str) -> None:
        """`address` is an Apprise URL. Nothing is connected yet."""
        self._address = address
        self._service: Any = None

    @property
    def keeps_incidents(self) -> bool:
        """Whether the other side keeps incidents by a key, so that no two messages may become one."""
        return urlsplit(self._address).scheme == _PAGERDUTY

    async def prepare(self) -> None:
        """Load what sending needs, so that the first message does not wait for it."""
        await asyncio.to_thread(self._open, "")

    async def send(self, message: Message) -> str:
        """Send one message. The reason when it was not taken, empty when it was."""
        service = await asyncio.to_thread(self._open, message.key)
        if service is None:
            return _UNUSABLE
        short = service[0].body_maxlen <= _SHORT
        title, body = ("", message.title) if short else (message.title, message.body)
        if self.keeps_incidents:
            title, body = "", f"{message.title}\n{message.body}"
        result = await service.async_notify(
            title=title, body=body, notify_type=_type_of(message), body_format="text", timeout=TIMEOUT_S
        )
        if result:
            return ""
        return _NO_ANSWER if result.status.name == "TIMEOUT" else _REFUSED

    def _open(self, key: str) -> Any:
        """Apprise with this one service; None for an address that it does not know."""
        if self.keeps_incidents:  # the key of an incident is a part of the address
            joined = "&" if "?" in self._address else "?"
            return _opened(f"{self._address}{joined}action=map&dedup={quote(key, safe='')}&image=no")
        if self._service is None:
            self._service = _opened(self._address)
        return self._service


def _type_of(message: Message) -> str:
    if message.kind is Kind.RECOVERY:
        return "success"
    return "failure" if message.level is Level.CRITICAL else "warning"


def _opened(address: str) -> Any:
    apprise = _apprise()
    asset = apprise.AppriseAsset(
        app_id="attentive-gateway",
        app_desc="alerts",
        app_url="",
        image_url_mask="",
        image_url_logo="",
        allow_templates=False,
        result_log_disk_size=0,
    )
    service = apprise.Apprise(asset=asset)
    return service if service.add(address) and len(service) == 1 else None


@cache
def _apprise() -> ModuleType:
    """The library, silent: what it and those below it log may hold the address."""
    import apprise

    for name in ("apprise", "urllib3", "requests"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [logging.NullHandler()], False
        logger.setLevel(logging.CRITICAL + 1)
    return apprise


def problem_with(address: str) -> str:
    """Why no message can be sent to an address; empty for a usable one. Nothing is sent."""
    return "" if _opened(address) is not None else _UNUSABLE


def kind_of(address: str) -> str:
    """All that is shown of an address, because everything else in it may be a secret: "slack", "pagerduty"."""
    kind = urlsplit(address).scheme
    return kind if kind.isalnum() else "unknown"
