"""The Dockerfile, parsed: its stages and instructions."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

ROOT: Final = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction, on one line."""

    name: str  # in capitals
    text: str

    @property
    def words(self) -> list[str]:
        """What follows it, options left out; the exec form and the shell form alike."""
        if self.text.startswith("["):
            words: list[str] = json.loads(self.text)
            return words
        return [word for word in self.text.split() if not word.startswith("--")]


@dataclass(frozen=True, slots=True)
class Stage:
    """All instructions from one FROM to the next."""

    instructions: tuple[Instruction, ...]

    @property
    def base(self) -> str:
        """The image it starts from."""
        return self.all("FROM")[0].words[0]

    def all(self, name: str) -> list[Instruction]:
        """Those with this name, in order."""
        return [each for each in self.instructions if each.name == name]

    def one(self, name: str) -> Instruction:
        """The only one with this name."""
        (found,) = self.all(name)
        return found


@dataclass(frozen=True, slots=True)
class Dockerfile:
    """Two stages: what is built, and what is shipped."""

    build: Stage
    final: Stage

    @classmethod
    def read(cls, path: Path = ROOT / "Dockerfile") -> Self:
        """The project's own."""
        lines = [line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
        whole = re.sub(r"\\\n\s*", " ", "\n".join(lines))
        parts = [line.partition(" ") for line in whole.splitlines() if line.strip()]
        read = [Instruction(name.upper(), text.strip()) for name, _, text in parts]
        starts = [number for number, each in enumerate(read) if each.name == "FROM"]
        first, second = starts
        return cls(Stage(tuple(read[first:second])), Stage(tuple(read[second:])))
