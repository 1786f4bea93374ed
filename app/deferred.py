"""Modules that libraries import and this project never uses: they are loaded when something of them is used."""

import sys
from importlib import import_module
from types import ModuleType
from typing import Any


class _Deferred(ModuleType):
    """Stands in for a module until something of it is used."""

    def __getattr__(self, name: str) -> Any:
        """One of the module's names. Loads the module."""
        if name.startswith("__"):  # what the import system and `inspect` look for
            raise AttributeError(name)
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return getattr(import_module(self.__name__), name)


def defer(name: str) -> None:
    """Load a module when something of it is used, where it is not loaded yet."""
    sys.modules.setdefault(name, _Deferred(name))
