"""Imports point one way. Read from the source itself, so that an import inside a function counts too."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).resolve().parents[1]

# What each part of `app` may import besides itself. A dotted name allows that one module alone.
LEAVES: Final = frozenset[str]()
FREE_FOR_ALL: Final = frozenset({"value"})  # what values are made of, below everything
MAY_IMPORT: Final[dict[str, frozenset[str]]] = {
    "ingest": frozenset(
        {"pipeline", "delivery", "identity.extract", "identity.memory", "segment", "privacy", "metrics", "masking"}
    ),
    "console": frozenset({"delivery", "mapping", "masking"}),
    "pipeline": frozenset(
        {
            *("mapping", "identity", "segment", "privacy", "attentive.call", "attentive.endpoints"),
            *("delivery.delivery", "delivery.subject"),
        }
    ),
    "mapping": frozenset({"identity", "segment", "attentive.call", "attentive.endpoints"}),
    "redis_url": LEAVES,
    "delivery": frozenset({"attentive", "masking", "redis_url"}),
    "identity": frozenset({"segment"}),
    "logs": frozenset({"masking"}),
    "segment": LEAVES,
    "privacy": LEAVES,
    "attentive": LEAVES,
    "settings": frozenset({"config", "redis_url"}),
    "config": frozenset({"attentive.call", "attentive.endpoints", "mapping", "segment.paths", "delivery.unknown"}),
    "masking": LEAVES,
    "value": LEAVES,
    "metrics": LEAVES,
    "gauges": frozenset({"masking", "metrics", "delivery"}),
    "sandbox": LEAVES,
    "embedded": frozenset({"children"}),
    "children": LEAVES,
    "alive": LEAVES,
}
# They may see everything.
COMPOSE: Final = frozenset({"main", "cli", "commands", "topology", "health", "openapi", "reload", "server"})
NEVER_COMPOSED: Final = frozenset({"sandbox"})  # an app of its own: only the commands start it
MAY_START_IT: Final = frozenset({"cli", "commands", "sandbox"})

CORE: Final = ("segment", "privacy", "identity", "mapping", "pipeline")
INPUT_AND_OUTPUT: Final = {
    *(
        "redis",
        "arq",
        "httpx",
        "aiohttp",
        "socket",
        "ssl",
        "http",
        "urllib",
        "subprocess",
        "threading",
    ),
    *("asyncio", "uvloop", "random", "time", "logging", "structlog", "os", "pathlib"),
}


@dataclass(frozen=True, slots=True)
class Module:
    """One source file and what it imports, as dotted names."""

    name: str  # "app.delivery.outbox"
    tree: ast.Module
    imports: tuple[str, ...]

    @property
    def part(self) -> str:
        """The part of `app` it belongs to; empty for `app` itself."""
        return self.name.removeprefix("app").removeprefix(".").partition(".")[0]


@cache
def modules() -> tuple[Module, ...]:
    """Every module of `app` and `workers`."""
    files = sorted(file for package in ("app", "workers") for file in (ROOT / package).rglob("*.py"))
    return tuple(_read(file) for file in files)


def _read(file: Path) -> Module:
    steps = file.relative_to(ROOT).with_suffix("").parts
    name = ".".join(steps[:-1] if steps[-1] == "__init__" else steps)
    package = name if steps[-1] == "__init__" else name.rpartition(".")[0]
    tree = ast.parse(file.read_text(encoding="utf-8"), file.name)
    return Module(name, tree, tuple(_imports(tree, package)))


def _imports(tree: ast.Module, package: str) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            source = ".".join([*above, node.module] if node.module else above)
            # `from app import metrics` and `from app.delivery import outbox` name modules, not what is in them
            yield from (_module_named(source, alias.name) for alias in node.names)


def _module_named(source: str, name: str) -> str:
    below = ROOT.joinpath(*source.split("."), name)
    return f"{source}.{name}" if below.is_dir() or below.with_suffix(".py").is_file() else source


def ours(module: Module) -> list[str]:
    """What it imports of `app`, without the leading `app.`; `app` itself (its version) is free for all."""
    return [name.removeprefix("app.") for name in module.imports if name.startswith("app.")]


def allowed(part: str, imported: str) -> bool:
    """Whether a module of this part may import that module of ours."""
    target = imported.partition(".")[0]
    if target == part or target in FREE_FOR_ALL:
        return True
    if part in COMPOSE:
        return target not in NEVER_COMPOSED or part in MAY_START_IT
    return any(imported == name or imported.startswith(name + ".") for name in MAY_IMPORT[part])


def named(found: list[Module]) -> list[object]:
    return [pytest.param(module, id=module.name) for module in found]


OF_APP: Final = [module for module in modules() if module.name.startswith("app") and module.part]
OF_WORKERS: Final = [module for module in modules() if module.name.startswith("workers")]


def test_every_part_of_the_app_has_its_place_in_the_order() -> None:
    assert {module.part for module in OF_APP} - COMPOSE <= MAY_IMPORT.keys()


@pytest.mark.parametrize("module", named(OF_APP))
def test_a_module_imports_only_what_lies_below_it(module: Module) -> None:
    assert [name for name in ours(module) if not allowed(module.part, name)] == []


@pytest.mark.parametrize("module", named(OF_APP))
def test_the_app_knows_nothing_of_the_workers_and_the_tests(module: Module) -> None:
    of_others = [name for name in module.imports if name.partition(".")[0] in {"workers", "tests", "benchmarks"}]
    assert of_others == [] or module.part in {"cli", "commands"}  # the command that starts a worker


@pytest.mark.parametrize("module", named(OF_WORKERS))
def test_the_workers_map_nothing(module: Module) -> None:
    """Events are mapped before the queue: what waits in a lane is sent as it is."""
    of_the_core = {name.partition(".")[0] for name in ours(module)} & {*CORE, "ingest", "console", "sandbox"}
    assert of_the_core == set()


@pytest.mark.parametrize("module", named(OF_WORKERS))
def test_the_workers_import_nothing_of_ours_but_the_app(module: Module) -> None:
    others = {folder.name for folder in ROOT.iterdir() if folder.is_dir()} - {"app", "workers"}
    assert {name.partition(".")[0] for name in module.imports} & others == set()


@pytest.mark.parametrize("module", named([each for each in OF_APP if each.part in CORE]))
def test_the_core_imports_nothing_that_touches_the_world(module: Module) -> None:
    assert {name.partition(".")[0] for name in module.imports} & INPUT_AND_OUTPUT == set()


def test_one_module_alone_and_its_transport_speak_http_to_others() -> None:
    libraries = {"httpx", "aiohttp"}
    users = {module.name for module in modules() if libraries & {name.partition(".")[0] for name in module.imports}}
    ours = {name for name in users if not name.startswith(("app.sandbox", "app.commands"))}
    assert ours == {"app.attentive.client", "app.attentive.transport"}


def test_the_core_can_be_loaded_without_any_of_the_edges() -> None:
    heavy = ("redis", "httpx", "aiohttp", "arq", "fastapi", "starlette", "structlog", "app.attentive.client")
    program = f"import sys, app.pipeline; print([name for name in {heavy} if name in sys.modules])"
    run = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


@pytest.mark.parametrize("module", named(list(modules())))
def test_a_module_says_why_it_exists(module: Module) -> None:
    assert ast.get_docstring(module.tree)


@pytest.mark.parametrize(
    ("part", "imported", "verdict"),
    [
        pytest.param("pipeline", "delivery.delivery", True, id="the pipeline makes deliveries"),
        pytest.param("pipeline", "delivery.outbox", False, id="the pipeline does not store them"),
        pytest.param("delivery", "mapping.catalogue", False, id="the queue knows no catalogue"),
        pytest.param("mapping", "attentive.client", False, id="the mapping sends nothing"),
        pytest.param("identity", "mapping.users", False, id="identities know no calls"),
        pytest.param("main", "delivery.outbox", True, id="the top sees everything"),
        pytest.param("main", "sandbox.app", False, id="the gateway does not carry the sandbox"),
    ],
)
def test_the_order_is_really_asked(part: str, imported: str, verdict: bool) -> None:
    assert allowed(part, imported) is verdict
