"""Commands that are imported when they run: the list of all shows what each is for, and loads none."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from inspect import cleandoc
from typing import Any, ClassVar

import typer
from typer.core import TyperGroup


@dataclass(frozen=True, slots=True)
class Deferred:
    """One command, or one group of commands, of the top level. `attribute` is a function or a Typer of `module`."""

    module: str
    attribute: str
    summary: str  # as its own help begins
    panel: str | None = None  # None: not listed


class OnDemand(TyperGroup):
    """The top level. A subclass names its commands, in the order in which they are listed."""

    deferred: ClassVar[Mapping[str, Deferred]]

    def get_params(self, ctx: Any) -> list[Any]:
        """The options of the top level."""
        return _without_switch_types(super().get_params(ctx))

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """Import the command that the arguments name. Ends with a usage error when there is none of that name."""
        name, listed, rest = super().resolve_command(ctx, args)
        return name, loaded(name, self.deferred[name]) if name else listed, rest


def on_demand(deferred: Mapping[str, Deferred], **options: Any) -> typer.Typer:
    """A Typer of these commands."""
    group = type("Commands", (OnDemand,), {"deferred": deferred})
    top = typer.Typer(cls=group, **options)
    for name, command in deferred.items():
        top.command(name, help=command.summary, hidden=command.panel is None, rich_help_panel=command.panel)(_listed)
    return top


def loaded(name: str, command: Deferred) -> Any:
    """The command itself, imported now."""
    found = getattr(import_module(command.module), command.attribute)
    only = typer.Typer(add_completion=False, pretty_exceptions_show_locals=False)  # as the top
    if isinstance(found, typer.Typer):
        only.add_typer(found, name=name)
    else:
        only.command(name)(found)
    only.callback()(_listed)
    return _readable(typer.main.get_group(only).commands[name])


def _readable(command: Any) -> Any:
    """The command with a help that fills the lines of any terminal, and shows no type for switches."""
    paragraphs = cleandoc(command.help or "").split("\n\n")
    command.help = "\n\n".join(paragraph.replace("\n", " ") for paragraph in paragraphs)
    _without_switch_types(command.get_params(command.context_class(command)))
    for each in getattr(command, "commands", {}).values():
        _readable(each)
    return command


def _without_switch_types(parameters: list[Any]) -> list[Any]:
    for parameter in parameters:
        if getattr(parameter, "is_flag", False):
            parameter.metavar = ""
    return parameters


def _listed() -> None:
    """Stands in for a command that is listed and not loaded."""
