"""Options that mean one filter together: declared once, and given to each command that takes the filter."""

from collections.abc import Callable, Mapping
from functools import wraps
from inspect import Parameter, Signature, signature
from typing import Any


def with_filter(
    options: Mapping[str, Any], make: Callable[..., Any]
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command these options in place of its parameter `wanted`, which `make` makes of their values."""
    added = [Parameter(name, Parameter.KEYWORD_ONLY, default=None, annotation=of) for name, of in options.items()]

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        own = [each.replace(kind=Parameter.KEYWORD_ONLY) for each in signature(command).parameters.values()]
        place = [each.name for each in own].index("wanted")
        parameters = [*own[:place], *added, *own[place + 1 :]]

        @wraps(command)
        def run(**given: Any) -> None:
            command(wanted=make(**{name: given.pop(name) for name in options}), **given)

        run.__signature__ = Signature(parameters)  # type: ignore[attr-defined]  # Typer makes the options of this
        run.__annotations__ = {each.name: each.annotation for each in parameters}
        return run

    return decorate
