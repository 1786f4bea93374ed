"""The types of setting values, and the messages about mistakes in them."""

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, Self
from urllib.parse import SplitResult, unquote, urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    PlainSerializer,
    PlainValidator,
    SecretStr,
    ValidationError,
    ValidationInfo,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from app.config.bad_settings import BadSettings
from app.config.files import Stamp, stamp
from app.segment.paths import EventPath

_PLACEHOLDER: Final = "unknown:"
ATTENTIVE_URL: Final = "https://api.attentivemobile.com"
LOOPBACK: Final = {"127.0.0.1", "localhost", "::1"}
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_VARIABLE: Final = re.compile(r"[A-Z_][A-Z0-9_]{0,99}")
_HEADER: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, a token
_TRACES_PATH: Final = "/v1/traces"
_ORIGIN: Final = re.compile(  # scheme, host or address in brackets, port
    r"([a-z][a-z0-9+.-]*)://(?:[^/\s?#@:\[\]]+|\[[0-9a-f:.]+\])(?::(?:[1-9][0-9]{0,4}|\*))?", re.IGNORECASE
)
_USUAL_PORTS: Final = {"http": ":80", "https": ":443"}


def url_parts(url: str) -> SplitResult:
    """The parts of the URL. Python's own message about a bad one may contain a secret, so it is replaced."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise ValueError("is not a valid address: check the host and port") from None
    return parts


def _base_url(url: str) -> str:
    parts = url_parts(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/") or parts.query:
        raise ValueError("must be a scheme and a host, such as " + ATTENTIVE_URL)
    if parts.username is not None or parts.fragment:
        raise ValueError("must not contain a user, a password or a fragment: only the API token is sent")
    if parts.scheme == "http" and parts.hostname not in LOOPBACK:
        raise ValueError("must be https unless the host is this machine: the API token would travel in the clear")
    return url.rstrip("/")


def _collector_url(url: str) -> str:
    """The whole address, with the path that OTLP defines, unless the URL names it or another that ends in it."""
    parts = url_parts(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError("must be the address of a collector, such as http://127.0.0.1:4318")
    if parts.username is not None:
        raise ValueError("must not contain a user or a password: set GATEWAY_TRACES_HEADERS")
    return url if parts.path.endswith(_TRACES_PATH) else url.rstrip("/") + _TRACES_PATH


def read_headers(text: str) -> dict[str, str]:
    """Headers by name, from `name=value,…` with percent-encoded values. Raises ValueError."""
    headers = {}
    for part in filter(None, map(str.strip, text.split(","))):
        name, equals, value = part.partition("=")
        if not equals or not _HEADER.fullmatch(name.strip()):
            raise ValueError("must be headers such as `authorization=Bearer%20abc`, separated by commas")
        headers[name.strip()] = unquote(value.strip())
        if not headers[name.strip()].isprintable():
            raise ValueError("must have values of printable characters")
    return headers


def _region(region: str) -> str:
    if len(region) != 2 or not region.isascii() or not region.isalpha():
        raise ValueError("must be a two-letter country code (ISO 3166-1) such as US")
    return region.upper()


def _event_path(given: Any) -> EventPath:
    return given if isinstance(given, EventPath) else EventPath(str(given))


def _one_or_more(given: Any) -> Any:
    return (given,) if isinstance(given, str) else given


def usable_secret(secret: SecretStr) -> SecretStr:
    """The secret without surrounding blanks. Raises ValueError if it is empty or cannot be sent."""
    text = secret.get_secret_value().strip()
    if not text:
        raise ValueError("must not be empty")
    if not (text.isascii() and text.isprintable()):  # it becomes part of a header
        raise ValueError("must be printable ASCII on one line")
    return SecretStr(text)


def _name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError("must be made of lower-case letters, digits, - and _, at most 63 of them")
    return name


def _one_line(text: str) -> str:
    text = " ".join(text.split())
    if not text.isprintable():
        raise ValueError("must be printable text")
    return text


def _header(name: str) -> str:
    if name and not _HEADER.fullmatch(name):
        raise ValueError("must be the name of an HTTP header such as X-Webhook-Token")
    return name


def _origin(origin: str) -> str:
    """An origin as browsers write it. An origin that no browser can send would silently block a site."""
    if origin in ("*", "null"):
        return origin
    found = _ORIGIN.fullmatch(origin)
    if found is None:
        raise ValueError("must be * or a scheme and a host, and no path, such as https://shop.example")
    if not origin.isascii():
        raise ValueError("must be written as browsers send it: in ASCII (punycode)")
    if (port := _USUAL_PORTS.get(found[1].lower())) and origin.endswith(port):
        raise ValueError(f"must be written without {port}, as browsers send it")
    return origin


Secret = Annotated[SecretStr, AfterValidator(usable_secret)]
CollectorUrl = Annotated[str, AfterValidator(_collector_url)]
BaseUrl = Annotated[str, AfterValidator(_base_url)]
Region = Annotated[str, AfterValidator(_region)]
Name = Annotated[str, AfterValidator(_name)]
Title = Annotated[str, AfterValidator(_one_line), Field(max_length=80)]
Description = Annotated[str, AfterValidator(_one_line), Field(max_length=500)]
HeaderName = Annotated[str, AfterValidator(_header)]
Origin = Annotated[str, AfterValidator(_origin)]
Hours = Annotated[float, Field(gt=0, le=24 * 365, allow_inf_nan=False)]
Rate = Annotated[float, Field(gt=0, allow_inf_nan=False)]
EventPathText = Annotated[EventPath, PlainValidator(_event_path), PlainSerializer(str)]
EventPaths = Annotated[tuple[EventPathText, ...], BeforeValidator(_one_or_more)]


class Frozen(BaseModel):
    """The base of every model of the file: immutable, and strict about unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    indirect: ClassVar[str] = ""  # its secret, if there is one, that can be given as NAME, NAME_env or NAME_file

    @classmethod
    def other_keys(cls) -> tuple[str, ...]:
        """What the file may contain besides the fields."""
        return (f"{cls.indirect}_env", f"{cls.indirect}_file") if cls.indirect else ()

    @classmethod
    def keys(cls) -> list[str]:
        """Its fields by their names in the file, which differ for names that are reserved in Python."""
        return [info.alias or name for name, info in cls.model_fields.items()]

    @model_validator(mode="before")
    @classmethod
    def _gather_secret(cls, given: Any) -> Any:
        return gather(given, cls.indirect) if cls.indirect else given

    @model_validator(mode="wrap")
    @classmethod
    def _explain_unknown_keys(cls, given: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        try:
            return handler(given)
        except ValidationError as invalid:
            errors = invalid.errors(include_url=False)
            raise misplaced((error["loc"], cls._explained(error)) for error in errors) from None

    @classmethod
    def _explained(cls, error: Any) -> Any:
        """The error, with the possible keys if one is unknown or missing here."""
        match error:
            case {"type": "extra_forbidden", "loc": (str(key),)}:
                return unknown_key(key, [*cls.keys(), *cls.other_keys()])
            case {"type": "missing", "loc": (str(key),)}:
                forms = [other for other in cls.other_keys() if other.startswith(key.removesuffix("s"))]
                return error | ({"msg": f"is required, or {' or '.join(forms)}"} if forms else {})
        return error


def unknown_key(given: str, known: Iterable[str]) -> str:
    """The message about a key or name that is not `known`."""
    return f"is unknown here; {nearest(given, known)}"


def nearest(given: object, known: Iterable[str]) -> str:
    """A hint at the probable meaning: the nearest of `known`, or all of them. `given` is not repeated."""
    known = sorted(known)
    close = get_close_matches(str(given).lower(), {name.lower(): name for name in known}, n=1, cutoff=0.7)
    meant = next((name for name in known if close and name.lower() == close[0]), None)
    return f"did you mean {meant}?" if meant else f"the choices are: {', '.join(known)}"


def misplaced(mistakes: Iterable[tuple[Sequence[str | int], Any]]) -> ValidationError:
    """Mistakes below the model that finds them: rules in words, or pydantic's errors."""
    return ValidationError.from_exception_data(
        "",
        [InitErrorDetails(type=_custom(rule), loc=tuple(steps), input=None) for steps, rule in mistakes],
    )


def _custom(rule: Any) -> PydanticCustomError:
    kind, text = ("value_error", rule) if isinstance(rule, str) else (rule["type"], sentence(rule | {"loc": ()}))
    return PydanticCustomError(kind, "{rule}", {"rule": text})


@dataclass(frozen=True, slots=True)
class SandboxAccount:
    """The address of a sandbox, and an API key that it accepts."""

    url: str
    token: str = field(repr=False)


@dataclass(slots=True)
class Secrets:
    """How one reading of a file treats secrets that are stored elsewhere, and the files that contained them."""

    needed: bool = True  # False: a placeholder replaces an inaccessible secret
    sandbox: SandboxAccount | None = None  # replaces every account of the file
    files: dict[Path, Stamp] = field(default_factory=dict)  # as they were before they were read
    missing: int = 0

    def lacking(self, reference: str, problem: str) -> str:
        """The placeholder. Raises ValueError if secrets are needed."""
        if self.needed:
            raise ValueError(problem)
        self.missing += 1
        return f"{_PLACEHOLDER}{reference}"


def is_placeholder(secret: SecretStr) -> bool:
    """Whether a placeholder replaces the secret, which was not needed."""
    return secret.get_secret_value().startswith(_PLACEHOLDER)


def _resolve(given: Any, info: ValidationInfo) -> Any:
    """A secret as text, or its location: {env: VARIABLE} or {file: PATH}."""
    secrets = info.context if isinstance(info.context, Secrets) else Secrets()
    match given:
        case {"env": str(variable), **rest} if not rest:
            if not _VARIABLE.fullmatch(variable):  # it may be the secret itself, so it is not repeated
                raise ValueError("must name an environment variable, in capitals")
            return os.environ.get(variable) or secrets.lacking(variable, f"the variable {variable} is not set")
        case {"file": str(path), **rest} if not rest:
            secrets.files[Path(path)] = stamp(Path(path))
            try:
                return _text_of(Path(path))
            except ValueError as problem:
                return secrets.lacking(path, str(problem))
        case dict():
            raise ValueError("give the secret itself, or {env: VARIABLE}, or {file: PATH}")
        case _:
            return given


SecretRef = Annotated[Secret, BeforeValidator(_resolve)]


def gather(given: Any, name: str) -> Any:
    """`name`, `name_env` and `name_file` are three ways to give one secret. Giving two of them is a mistake."""
    if not isinstance(given, dict):
        return given
    given = dict(given)
    variable, file = given.pop(f"{name}_env", None), given.pop(f"{name}_file", None)
    if sum(way is not None for way in (given.get(name), variable, file)) > 1:
        raise ValueError(f"give only one of {name}, {name}_env (a variable's name) and {name}_file (a path)")
    if variable is not None:
        given[name] = {"env": variable}
    elif file is not None:
        given[name] = {"file": file}
    return given


def read_secret(path: Path, setting: str) -> str:
    """The file's text without surrounding blanks. Raises BadSettings that names the `setting`."""
    try:
        return _text_of(path)
    except ValueError as problem:
        raise BadSettings(f"{setting}: {problem}") from None


def _text_of(path: Path) -> str:
    shown = path if path.is_absolute() or path.parent != Path() else "the file it names"  # it may be the secret itself
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError as failure:
        raise ValueError(f"cannot read {shown}: {failure.strerror}") from None
    except UnicodeDecodeError:
        raise ValueError(f"{shown} is not text in UTF-8") from None


_RULES: Final[Mapping[str, str]] = {
    "model_type": "must be a mapping of keys to values",
    "dict_type": "must be a mapping of keys to values",
    "tuple_type": "must be a list",
    "string_type": "must be text",
}


def sentence(error: Any, name_of: Any = ".".join) -> str:
    """One mistake as "where: what was expected". The value is left out: it may be a secret."""
    where = name_of([str(part) for part in error["loc"]]) if error["loc"] else ""
    rule = _RULES.get(error["type"]) or error["msg"].removeprefix("Value error, ").removeprefix("Input ")
    rule = rule.replace("Field required", "is required")
    return f"{where}: {rule}" if where else rule
