"""The sandbox's answers, and the forms of an error body."""

import html
from dataclasses import dataclass, replace
from email.utils import formatdate
from http import HTTPStatus
from typing import Any

import orjson

from app.sandbox.config import SandboxConfig

JSON = b"application/json"
HTML = b"text/html; charset=utf-8"
Headers = tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """A status, a body and its extra headers."""

    status: int
    body: bytes = b""
    content_type: bytes = JSON
    headers: Headers = ()

    def with_headers(self, *headers: tuple[bytes, bytes]) -> "Answer":
        """The same answer with more headers."""
        return replace(self, headers=(*self.headers, *headers))


EMPTY_200 = Answer(200)
EMPTY_202 = Answer(202)


class Refused(Exception):  # noqa: N818  # an answer to the caller, not a failure of ours
    """The call is answered with an error. The message is for engineers."""

    def __init__(self, status: int, message: str, *headers: tuple[bytes, bytes]) -> None:
        """Refuse with this status."""
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = headers


def json_answer(status: int, content: Any) -> Answer:
    """An answer with a JSON body."""
    return Answer(status, orjson.dumps(content))


def error_answer(status: int, message: str, config: SandboxConfig, *, error_id: int = 0) -> Answer:
    """An error in the form that the switches select. Attentive declares none for most endpoints."""
    match config.error_body:
        case "message":
            return json_answer(status, {"message": message})
        case "error_object":
            return json_answer(status, {"error": {"id": error_id, "message": message}})
        case "error_text":
            return json_answer(status, {"error": message})
        case "html":
            return html_page(status, message)
        case "empty":
            return Answer(status)


def html_page(status: int, message: str = "") -> Answer:
    """An error page like those of gateways and content networks in front of an API."""
    title = f"{status} {_phrase(status)}"
    page = f"<html><head><title>{title}</title></head><body><h1>{title}</h1><p>{html.escape(message)}</p></body></html>"
    return Answer(status, page.encode(), HTML)


def retry_after(config: SandboxConfig, now: float) -> Headers:
    """The Retry-After header of a 429, in the form that the switches select."""
    match config.retry_after:
        case "none":
            return ()
        case "seconds":
            return ((b"retry-after", str(config.retry_after_s).encode()),)
        case "date":
            return ((b"retry-after", formatdate(now + config.retry_after_s, usegmt=True).encode()),)


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"
