"""Pages from templates: everything is escaped, and a name that a template misspells is an error."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from typing import Any, Final

import orjson
from fastapi import Request
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape
from starlette.responses import HTMLResponse

from app import __version__
from app.console.notes import note_of
from app.console.visit import Visit
from app.console.web import link, version_of

_HERE: Final = files("app.console")
STATIC: Final = str(_HERE / "static")
_CODE: Final = re.compile("`([^`]+)`")


def moment(at: datetime | None) -> Markup:
    """A time in UTC; the script shows it in the reader's zone."""
    if at is None:
        return Markup("-")
    at = at.astimezone(UTC)
    exact = at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return Markup('<time datetime="{}">{} UTC</time>').format(exact, f"{at:%Y-%m-%d %H:%M:%S}")


def duration(span: timedelta | float | None) -> str:
    """ "850 ms", "12 s", "4 min", "3 h" or "2 d"; "-" for None."""
    if span is None:
        return "-"
    seconds = span.total_seconds() if isinstance(span, timedelta) else float(span)
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"


def number(value: float) -> str:
    """ "1,234"; with one decimal where it has some."""
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.1f}"


def plural(count: int, one: str, many: str = "") -> str:
    """ "1 call", "2 calls"."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def marked(text: str) -> Markup:
    """Text of ours in which `names` stand between backticks."""
    return Markup(_CODE.sub(r"<code>\1</code>", str(escape(text))))  # noqa: S704 - it is escaped


def pretty(value: Any) -> str:
    """JSON for people."""
    return orjson.dumps(value, option=orjson.OPT_INDENT_2, default=str).decode()


def environment() -> Environment:
    """The templates and their filters."""
    made = Environment(
        loader=FileSystemLoader(str(_HERE / "templates")),
        autoescape=True,
        undefined=StrictUndefined,
        auto_reload=False,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"moment": moment, "duration": duration, "number": number, "plural": plural}
    made.filters |= {"marked": marked, "pretty": pretty}
    made.globals |= {"version": __version__, "link": link, "asset": version_of}
    return made


TEMPLATES: Final = environment()


def render(
    request: Request, template: str, visit: Visit | None = None, *, status: int = 200, **shown: Any
) -> HTMLResponse:
    """One page. `visit` is None on the pages before a sign-in."""
    context: Mapping[str, Any] = {
        "visit": visit,
        "path": request.url.path,
        "query": dict(request.query_params),
        "note": note_of(request.query_params),
        **shown,
    }
    return HTMLResponse(TEMPLATES.get_template(template).render(context), status)
