"""The kinds of values that settings are made of, and how a mistake in one is told."""

import os
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, SecretStr

ATTENTIVE_URL: Final = "https://api.attentivemobile.com"
_LOOPBACK: Final = {"127.0.0.1", "localhost", "::1"}
NAME: Final = r"^[a-z0-9][a-z0-9_-]{0,62}$"


class BadSettings(Exception):  # noqa: N818 - it ends the start, with one line for the operator
    """A setting that cannot be used; the text names it and says what was expected."""


def url_parts(url: str) -> SplitResult:
    """The address taken apart. What Python would say of a bad one may hold a secret, so we say it."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise ValueError("is no address: look at its host and port") from None
    return parts


def _base_url(url: str) -> str:
    parts = url_parts(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/") or parts.query:
        raise ValueError("must be a scheme and a host, such as " + ATTENTIVE_URL)
    if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
        raise ValueError("must be https unless the host is this machine: the API token would travel in the clear")
    return url.rstrip("/")


def _region(region: str) -> str:
    if len(region) != 2 or not region.isascii() or not region.isalpha():
        raise ValueError("must be a two-letter country code (ISO 3166-1) such as US")
    return region.upper()


def _given(secret: SecretStr) -> SecretStr:
    text = secret.get_secret_value().strip()
    if not text:
        raise ValueError("must not be empty")
    if not (text.isascii() and text.isprintable()):  # it becomes part of a header
        raise ValueError("must be printable ASCII on one line")
    return SecretStr(text)


Secret = Annotated[SecretStr, AfterValidator(_given)]
BaseUrl = Annotated[str, AfterValidator(_base_url)]
Region = Annotated[str, AfterValidator(_region)]


class Frozen(BaseModel):
    """What every model of the file is: unchangeable, and without room for misspelt keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def _resolve(given: Any) -> Any:
    """A secret as text, or where it is kept: {env: VARIABLE} or {file: PATH}."""
    match given:
        case {"env": str(variable), **rest} if not rest:
            if not os.environ.get(variable):
                raise ValueError(f"the variable {variable} is not set")
            return os.environ[variable]
        case {"file": str(path), **rest} if not rest:
            return read_secret(Path(path), "file")
        case dict():
            raise ValueError("give the secret itself, or {env: VARIABLE}, or {file: PATH}")
        case _:
            return given


SecretRef = Annotated[Secret, BeforeValidator(_resolve)]


def gather(given: Any, name: str) -> Any:
    """`name`, `name_env` and `name_file` are three ways to give the same secret; exactly one is wanted."""
    if not isinstance(given, dict):
        return given
    given = dict(given)
    variable, file = given.pop(f"{name}_env", None), given.pop(f"{name}_file", None)
    if sum(way is not None for way in (given.get(name), variable, file)) != 1:
        raise ValueError(f"give exactly one of {name}, {name}_env (a variable's name) and {name}_file (a path)")
    if variable is not None:
        given[name] = {"env": variable}
    elif file is not None:
        given[name] = {"file": file}
    return given


def read_secret(path: Path, setting: str) -> str:
    """The file's text without the blanks around it. Raises BadSettings that names the `setting`."""
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError as failure:
        raise BadSettings(f"{setting}: cannot read {path}: {failure.strerror}") from None
    except UnicodeDecodeError:
        raise BadSettings(f"{setting}: {path} is not text in UTF-8") from None


def sentence(error: Any, name_of: Any) -> str:
    """One mistake as "where: what was expected". The value is left out: it may be a secret."""
    where = name_of([str(part) for part in error["loc"]]) if error["loc"] else ""
    rule = error["msg"].removeprefix("Value error, ").removeprefix("Input ")
    return f"{where}: {rule}" if where else rule
