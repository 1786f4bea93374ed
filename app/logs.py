"""Logging with structlog: JSON unless on a terminal, without personal data and secrets."""

import logging
import sys
import traceback
from collections.abc import Iterator, MutableMapping
from typing import Any, Final

import structlog

from app.masking import mask_text

# Modules of errors that the operating system or the network reports. Other libraries derive errors from OSError too,
# whose messages contain what they were given: smtplib recipients and replies, gzip the first bytes of a body.
_OF_THE_SYSTEM: Final = frozenset({"builtins", "socket", "ssl"})
_QUIET = {
    "arq": logging.WARNING,  # it logs job arguments and a line per job
    "uvicorn.access": logging.WARNING,
    "uvicorn.error": logging.WARNING,
    "httpx": logging.WARNING,
    "asyncio": logging.WARNING,
}


def set_up_logging(level: str = "INFO", style: str = "auto", *, component: str) -> None:
    """Send every log line, ours and our libraries', to standard error. `component` names the process in each line."""
    console = style == "console" or (style == "auto" and sys.stderr.isatty())
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.ExceptionRenderer(_places),
        _mask,
    ]
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
        if console
        else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, _component(component)],
            processors=[
                _component(component),
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                renderer,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name, least in _QUIET.items():
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
        logger.setLevel(max(least, root.level))


def _places(exc_info: Any) -> str:
    """A traceback without the messages of its exceptions and without values, which may contain personal data.

    The message of an error of the operating system stays: it names a file, an address or a limit.
    """
    _, error, _ = exc_info
    return "\n".join(_places_of(error, set()))


def _places_of(error: BaseException, seen: set[int]) -> Iterator[str]:
    seen.add(id(error))
    before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if before is not None and id(before) not in seen:
        yield from _places_of(before, seen)
        yield "\nwhich led to:\n" if error.__cause__ is None else "\nwhich caused:\n"
    yield "Traceback (most recent call last):"
    yield "".join(traceback.format_tb(error.__traceback__)).rstrip()
    name = f"{type(error).__module__}.{type(error).__qualname__}".removeprefix("builtins.")
    own = isinstance(error, OSError) and type(error).__module__ in _OF_THE_SYSTEM
    yield f"{name}: {error}" if own else name
    for each in error.exceptions if isinstance(error, BaseExceptionGroup) else ():
        if id(each) not in seen:
            yield from _places_of(each, seen)


def _mask(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """The last line of defence: masks every e-mail address and phone number in the text."""
    for key, value in event.items():
        if key != "timestamp":
            event[key] = _masked(value)
    return event


def _masked(value: Any) -> Any:
    match value:
        case None | bool() | int() | float():
            return value
        case str():
            return mask_text(value)
        case dict():
            return {mask_text(str(key)): _masked(inner) for key, inner in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_masked(inner) for inner in value]
        case bytes():
            return mask_text(value.decode(errors="replace"))
        case _:
            return mask_text(repr(value))


def _component(name: str) -> structlog.typing.Processor:
    def add(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        event.setdefault("component", name)
        return event

    return add
