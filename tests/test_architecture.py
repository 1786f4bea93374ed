"""Imports point one way. Read from the source itself, so that an import inside a function counts too."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).resolve().parents[1]

# What each part of `app` may import besides itself. A dotted name allows that one module alone.
LEAVES: Final = frozenset[str]()
FREE_FOR_ALL: Final = frozenset(
    {"value", "counted", "rights", "tasks", "clock"}
)  # values, reasons and counters, below everything
MAY_IMPORT: Final[dict[str, frozenset[str]]] = {
    "ingest": frozenset(
        {
            *(
                "pipeline",
                "identity.extract",
                "identity.enrichment",
                "identity.recent",
                "segment",
                "privacy",
                "metrics",
                "masking",
            ),
            *("erasure", "delivery", "profiles", "store", "traces"),
        }
    ),
    "rows": frozenset(
        {
            *(
                "config",
                "settings",
                "wiring",
                "operations.operator",
                "ingest.arrivals",
                "pipeline",
                "mapping",
                "identity",
            ),
            *(
                "segment",
                "attentive.endpoints",
                "attentive.answers",
                "attentive.client",
                "delivery",
                "profiles.known",
                "store",
                "masking",
            ),
        }
    ),
    "pipeline": frozenset(
        {
            *("mapping", "identity", "segment", "privacy", "attentive.call", "attentive.endpoints"),
            *("delivery.delivery", "delivery.recipients", "erasure.subject"),
        }
    ),
    "mapping": frozenset({"identity", "segment", "attentive.call", "attentive.endpoints"}),
    "simulation": frozenset(
        {
            *("attentive.answers", "attentive.call", "delivery.backoff", "delivery.delivery", "delivery.lane"),
            *("delivery.outcome", "delivery.pace", "delivery.workload", "store.keys"),
        }
    ),
    "alerts": frozenset({"attentive.endpoints", "erasure", "delivery", "profiles", "store"}),
    "erasure": frozenset({"delivery", "profiles", "store"}),
    "delivery": frozenset({"attentive", "masking", "profiles", "store", "traces"}),
    "profiles": frozenset({"store"}),
    "store": LEAVES,
    "traces": LEAVES,
    "identity": frozenset({"segment"}),
    "logs": frozenset({"masking"}),
    "segment": LEAVES,
    "privacy": LEAVES,
    "attentive": LEAVES,
    "settings": frozenset({"config", "store.url"}),
    "config": frozenset(
        {
            "alerts.rules",
            "attentive.call",
            "attentive.endpoints",
            "mapping",
            "segment.paths",
            "identity.normalise",
            "delivery.unknown",
            "delivery.recipients",
        }
    ),
    "masking": LEAVES,
    "value": LEAVES,
    "tasks": LEAVES,
    "clock": LEAVES,
    "rights": LEAVES,
    "counted": LEAVES,
    "tally": LEAVES,
    "metrics": frozenset({"tally"}),
    "gauges": frozenset({"masking", "metrics", "erasure", "delivery", "profiles", "store"}),
    "sandbox": frozenset({"attentive.bodies"}),  # an app of its own, which keeps to the contract
    "embedded": frozenset({"subprocesses"}),
    "subprocesses": LEAVES,
    "healthcheck": LEAVES,
    "process": LEAVES,
    "deferred": LEAVES,
}
# They may see everything.
COMPOSE: Final = frozenset(
    {"main", "cli", "commands", "console", "operations", "wiring", "health", "openapi", "operators", "reload"}
)
NEVER_COMPOSED: Final = frozenset({"sandbox"})  # an app of its own: only the commands start it
MAY_START_IT: Final = frozenset({"cli", "commands", "sandbox"})

# These rooms alone speak to Redis; others catch the errors of store. `embedded` asks its server whether it is up.
SPEAK_REDIS: Final = frozenset({"store", "profiles", "delivery", "erasure", "alerts", "console", "embedded"})
EDGES: Final = frozenset({"alerts", "attentive", "delivery", "erasure", "profiles", "store", "traces"})
# Modules of the edges that only compute: neither they nor anything of ours that they import does input or output, or
# reads a clock. `backoff` draws the jitter of a wait.
PURE: Final = frozenset(
    {
        *("counted", "masking", "rights", "value"),
        *("alerts.messages", "alerts.plan", "alerts.prometheus", "alerts.routing", "alerts.rules", "alerts.state"),
        *("attentive.answers", "attentive.call", "attentive.endpoints", "attentive.token"),
        *(
            "delivery.consent",
            "delivery.dead_letter",
            "delivery.delivery",
            "delivery.journal.event_rates",
            "delivery.journal.event_rows",
            "delivery.lane",
        ),
        *(
            "delivery.last_sent",
            "delivery.objectives",
            "delivery.outbox_event",
            "delivery.outcome",
            "delivery.pace",
            "delivery.recipients",
        ),
        *(
            "delivery.journal.recorded_call",
            "delivery.journal.recording",
            "delivery.journal.row_index",
            "delivery.accounts.refused_attributes",
            "delivery.journal.search_hashes",
            "delivery.settlement",
            "delivery.sliding_window",
        ),
        *(
            "simulation.course",
            "simulation.figures",
            "simulation.findings",
            "simulation.lane",
            "simulation.run",
            "simulation.scale_out",
            "simulation.scenario",
            "simulation.sizing",
        ),
        *(
            "delivery.unknown",
            "delivery.waits",
            "delivery.workload",
            "erasure.subject",
            "profiles.profile",
            "store.keys",
            "store.url",
        ),
        *("traces.context", "traces.fastapi", "traces.sampling", "traces.spans"),
    }
)
JOURNAL_MAY_IMPORT: Final = frozenset({"delivery.consent", "delivery.delivery", "delivery.outcome"})
DRAWS: Final = "delivery.backoff"
CORE: Final = ("segment", "privacy", "identity", "mapping", "pipeline", "simulation")
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


@dataclass(frozen=True)
class Module:
    """One source file. It is read when a test asks: all processes of tests list the files, and one runs the tests."""

    name: str  # "app.delivery.outbox"
    file: Path

    @property
    def part(self) -> str:
        """The part of `app` it belongs to; empty for `app` itself."""
        return self.name.removeprefix("app").removeprefix(".").partition(".")[0]

    @cached_property
    def tree(self) -> ast.Module:
        """Its syntax."""
        return ast.parse(self.file.read_text(encoding="utf-8"), self.file.name)

    @cached_property
    def imports(self) -> tuple[str, ...]:
        """What it imports, as dotted names."""
        return tuple(_imports(self.tree, self.name if self.file.stem == "__init__" else self.name.rpartition(".")[0]))


@cache
def modules() -> tuple[Module, ...]:
    """Every module of `app` and `workers`."""
    files = sorted(file for package in ("app", "workers") for file in (ROOT / package).rglob("*.py"))
    return tuple(_read(file) for file in files)


def _read(file: Path) -> Module:
    steps = file.relative_to(ROOT).with_suffix("").parts
    name = ".".join(steps[:-1] if steps[-1] == "__init__" else steps)
    return Module(name, file)


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


@pytest.mark.parametrize("module", named([each for each in OF_APP if each.name.startswith("app.delivery.journal.")]))
def test_what_is_recorded_knows_a_delivery_and_its_outcome_not_how_it_is_sent(module: Module) -> None:
    of_delivery = [name for name in ours(module) if name.startswith("delivery.")]
    assert {name for name in of_delivery if not name.startswith("delivery.journal")} <= JOURNAL_MAY_IMPORT


@pytest.mark.parametrize("module", named(OF_APP))
def test_the_app_knows_nothing_of_the_workers_and_the_tests(module: Module) -> None:
    of_others = [name for name in module.imports if name.partition(".")[0] in {"workers", "tests", "benchmarks"}]
    assert of_others == [] or module.part in {"cli", "commands"}  # the command that starts a worker


@pytest.mark.parametrize("module", named([each for each in OF_APP if each.part == "operations"]))
def test_an_operation_knows_nothing_of_those_who_show_it(module: Module) -> None:
    """Commands and the console call operations, which neither parse arguments nor print."""
    shown_by = ("commands", "console", "cli", "main", "server", "sandbox")
    assert [name for name in ours(module) if name.partition(".")[0] in shown_by] == []
    assert {name.partition(".")[0] for name in module.imports} & {"typer", "rich", "click"} == set()


@pytest.mark.parametrize("module", named(OF_WORKERS))
def test_the_workers_map_nothing(module: Module) -> None:
    """Events are mapped before the queue: what waits in a lane is sent as it is."""
    of_the_core = {name.partition(".")[0] for name in ours(module)} & {*CORE, "ingest", "console", "sandbox"}
    assert of_the_core == set()


def reached(start: str) -> set[str]:
    """Every module of ours that is loaded with this one, itself included."""
    by_name = {module.name: module for module in modules()}
    found, open_ends = set[str](), [start]
    while open_ends:
        name = open_ends.pop()
        if name in by_name and name not in found:
            found.add(name)
            open_ends += [name.rpartition(".")[0], *by_name[name].imports]
    return found


@pytest.mark.parametrize("module", named(OF_WORKERS))
def test_the_workers_reach_neither_ingest_nor_the_pipeline_through_any_other_module(module: Module) -> None:
    forbidden = ("app.ingest", "app.pipeline", "app.console", "app.sandbox", "app.commands", "app.wiring.gateway")
    assert [name for name in sorted(reached(module.name)) if name.startswith(forbidden)] == []


@pytest.mark.parametrize("module", named(OF_WORKERS))
def test_the_workers_import_nothing_of_ours_but_the_app(module: Module) -> None:
    others = {folder.name for folder in ROOT.iterdir() if folder.is_dir()} - {"app", "workers"}
    assert {name.partition(".")[0] for name in module.imports} & others == set()


@pytest.mark.parametrize("module", named([each for each in OF_APP if each.part in CORE]))
def test_the_core_imports_nothing_that_touches_the_world(module: Module) -> None:
    assert {name.partition(".")[0] for name in module.imports} & INPUT_AND_OUTPUT == set()


def touches_the_world(module: Module) -> bool:
    """Whether a module, or one of ours that it loads, imports what does input or output or reads a clock."""
    loaded = reached(module.name) - {f"app.{DRAWS}"}
    imported = {name.partition(".")[0] for each in modules() if each.name in loaded for name in each.imports}
    return bool((imported - {"urllib"}) & INPUT_AND_OUTPUT)  # urllib.parse only reads text


@pytest.mark.parametrize("module", named([each for each in modules() if each.name.removeprefix("app.") in PURE]))
def test_a_pure_module_reaches_nothing_that_touches_the_world(module: Module) -> None:
    assert not touches_the_world(module)


@pytest.mark.parametrize("module", named([each for each in modules() if each.part in EDGES]))
def test_every_pure_module_of_the_edges_is_named(module: Module) -> None:
    is_package = module.file.stem == "__init__"
    assert is_package or touches_the_world(module) or module.name.removeprefix("app.") in {*PURE, DRAWS}


def test_every_pure_module_exists() -> None:
    assert {f"app.{name}" for name in PURE} - {module.name for module in modules()} == set()


@pytest.mark.parametrize("module", named([each for each in modules() if each.part not in SPEAK_REDIS]))
def test_redis_is_imported_by_the_rooms_that_speak_to_it_alone(module: Module) -> None:
    assert [name for name in module.imports if name.partition(".")[0] == "redis"] == []


# They speak to an identity provider.
OF_SIGN_IN: Final = {"app.console.oidc", "app.console.oidc_client", "app.console.app"}


def test_one_module_alone_and_its_transport_speak_http_to_others() -> None:
    libraries = {"httpx", "aiohappyeyeballs", "aiohttp"}
    users = {module.name for module in modules() if libraries & {name.partition(".")[0] for name in module.imports}}
    ours = {name for name in users if not name.startswith(("app.sandbox", "app.commands"))}
    attentive = {f"app.attentive.{module}" for module in ("client", "connection", "transport")}
    assert ours == {*attentive, "app.alerts.heartbeat", *OF_SIGN_IN}


def test_the_core_can_be_loaded_without_any_of_the_edges() -> None:
    heavy = ("redis", "httpx", "aiohttp", "arq", "fastapi", "starlette", "structlog", "app.attentive.client")
    program = f"import sys, app.pipeline; print([name for name in {heavy} if name in sys.modules])"
    run = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_a_console_starts_without_what_only_some_of_its_pages_need() -> None:
    heavy = ("aiohttp", "httpx", "joserfc", "jsonschema_rs", "jwt.api_jwk", "app.attentive.client")
    program = f"import sys, app.console.app; print([name for name in {heavy} if name in sys.modules])"
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
